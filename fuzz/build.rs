//! Links the C originals of the decoders. Their run-time packages are enough: no headers are needed.

fn main() {
    for library in ["libz.so.1", "liblzo2.so.2", "libsnappy.so.1", "libzstd.so.1"] {
        println!("cargo:rustc-link-arg-bin=decoders=-l:{library}");
    }
}
