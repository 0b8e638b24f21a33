//! The C libraries that makedumpfile and the kernel's own people use to pack pages: zlib, LZO, snappy, zstd.

use std::ffi::{c_int, c_uint, c_ulong, c_void};

const PAGE: usize = 4096;
/// More than any of them makes of a page.
const PACKED: usize = 2 * PAGE;

unsafe extern "C" {
    fn compress2(out: *mut u8, len: *mut c_ulong, bytes: *const u8, count: c_ulong, level: c_int) -> c_int;
    fn uncompress(out: *mut u8, len: *mut c_ulong, bytes: *const u8, count: c_ulong) -> c_int;
    fn lzo1x_1_compress(bytes: *const u8, count: usize, out: *mut u8, len: *mut usize, work: *mut c_void) -> c_int;
    fn lzo1x_decompress_safe(bytes: *const u8, count: usize, out: *mut u8, len: *mut usize, work: *mut c_void)
    -> c_int;
    fn snappy_compress(bytes: *const u8, count: usize, out: *mut u8, len: *mut usize) -> c_int;
    fn snappy_uncompress(bytes: *const u8, count: usize, out: *mut u8, len: *mut usize) -> c_int;
    fn ZSTD_compress(out: *mut u8, len: usize, bytes: *const u8, count: usize, level: c_int) -> usize;
    fn ZSTD_decompress(out: *mut u8, len: usize, bytes: *const u8, count: usize) -> usize;
    fn ZSTD_isError(code: usize) -> c_uint;
}

/// How a page is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Zlib,
    Lzo,
    Snappy,
    Zstd,
}

impl Packing {
    pub const ALL: [Self; 4] = [Self::Zlib, Self::Lzo, Self::Snappy, Self::Zstd];

    /// The flag of a page's descriptor in a kdump-compressed dump.
    pub fn flag(self) -> u32 {
        match self {
            Self::Zlib => 1,
            Self::Lzo => 2,
            Self::Snappy => 4,
            Self::Zstd => 0x20,
        }
    }

    /// What the original makes of a page.
    pub fn pack(self, page: &[u8; PAGE]) -> Vec<u8> {
        let mut out = vec![0; PACKED];
        let (bytes, to) = (page.as_ptr(), out.as_mut_ptr());
        // SAFETY: each is given the lengths of the two buffers, LZO the working memory that it asks for (16384 pointers).
        let (done, len) = unsafe {
            match self {
                Self::Zlib => {
                    let mut len = PACKED as c_ulong;
                    (compress2(to, &mut len, bytes, PAGE as c_ulong, 6) == 0, len as usize)
                }
                Self::Lzo => {
                    let (mut len, mut work) = (0, vec![0u64; 16384]);
                    (lzo1x_1_compress(bytes, PAGE, to, &mut len, work.as_mut_ptr().cast()) == 0, len)
                }
                Self::Snappy => {
                    let mut len = PACKED;
                    (snappy_compress(bytes, PAGE, to, &mut len) == 0, len)
                }
                Self::Zstd => {
                    let len = ZSTD_compress(to, PACKED, bytes, PAGE, 3);
                    (ZSTD_isError(len) == 0, len)
                }
            }
        };
        assert!(done, "{self:?} packs any page");
        out.truncate(len);
        out
    }

    /// What the original makes of packed bytes: exactly one page, or nothing.
    pub fn unpack(self, bytes: &[u8]) -> Option<Vec<u8>> {
        // One byte more, so that more than a page shows.
        let mut out = vec![0; PAGE + 1];
        let (from, to, mut len) = (bytes.as_ptr(), out.as_mut_ptr(), out.len());
        // SAFETY: each is given the lengths of the two buffers.
        let done = unsafe {
            match self {
                Self::Zlib => {
                    let mut length = len as c_ulong;
                    let status = uncompress(to, &mut length, from, bytes.len() as c_ulong);
                    len = length as usize;
                    status == 0
                }
                Self::Lzo => lzo1x_decompress_safe(from, bytes.len(), to, &mut len, std::ptr::null_mut()) == 0,
                Self::Snappy => snappy_uncompress(from, bytes.len(), to, &mut len) == 0,
                Self::Zstd => {
                    len = ZSTD_decompress(to, len, from, bytes.len());
                    ZSTD_isError(len) == 0
                }
            }
        };
        out.truncate(PAGE);
        (done && len == PAGE).then_some(out)
    }
}
