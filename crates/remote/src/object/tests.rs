use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::*;
use crate::Settings;
use crate::test_support::{Fault, Server};

fn client() -> Arc<Client> {
    Arc::new(Client::new(Settings {
        endpoint: None,
        region: "us-east-1".into(),
        attempts: 4,
        pause: Duration::from_millis(1),
        timeout: Duration::from_millis(300),
    }))
}

fn contents(blocks: usize) -> Vec<u8> {
    (0..blocks * BLOCK as usize + 1000).map(|at| (at / 7 + at / 4099) as u8).collect()
}

/// A server with one object, the object open, and how often it was said to be lost.
struct Case {
    server: Server,
    bytes: Vec<u8>,
    object: Object,
    lost: Arc<AtomicUsize>,
}

fn case(blocks: usize, files: Option<&BlockFiles>) -> Case {
    let server = Server::start();
    let bytes = contents(blocks);
    server.put("vmcore", bytes.clone());
    let (object, lost) = open(&server, files).unwrap();
    server.requests();
    Case { server, bytes, object, lost }
}

fn open(server: &Server, files: Option<&BlockFiles>) -> Result<(Object, Arc<AtomicUsize>), RemoteError> {
    let address = Address::parse(&format!("{}/vmcore?X-Amz-Signature=SECRET", server.url())).unwrap().unwrap();
    let lost = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lost);
    let on_lost = Box::new(move |_: &RemoteError| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    Object::open(client(), address, files, on_lost).map(|object| (object, lost))
}

impl Case {
    fn check(&self, offset: usize, len: usize) {
        let mut buf = vec![0; len];
        self.object.read_at(offset as u64, &mut buf).unwrap();
        assert!(buf == self.bytes[offset..offset + len], "{len} bytes at {offset}");
    }

    fn fails(&self, offset: u64) -> RemoteError {
        let error = self.object.read_at(offset, &mut [0]).unwrap_err();
        for text in [error.to_string(), format!("{error:?}"), format!("{:?}", self.object)] {
            assert!(!text.contains("SECRET"), "{text}");
        }
        error
    }
}

#[test]
fn blocks_are_fetched_once_and_reads_may_lie_anywhere() {
    let case = case(40, None);
    let block = BLOCK as usize;
    assert_eq!(case.object.len() as usize, case.bytes.len());
    for (offset, len) in [(0, 10), (5 * block - 3, 7), (5 * block, 10), (20 * block + 1, 3 * block), (40 * block, 1000)]
    {
        case.check(offset, len);
        case.check(offset, len);
    }
    let asked = case.server.requests();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[0].ends_with(&format!("bytes={}-{}", 4 * block, 6 * block - 1)), "both in one: {asked:?}");
}

#[test]
fn front_to_back_takes_few_requests() {
    let case = case(100, None);
    for at in (0..case.bytes.len() - 4096).step_by(4096) {
        case.check(at, 4096);
    }
    let asked = case.server.requests().len();
    assert!(asked < 12, "{asked}");
}

#[test]
fn threads_share_what_is_fetched() {
    let case = case(8, None);
    thread::scope(|scope| {
        for thread in 0..8 {
            let case = &case;
            scope.spawn(move || {
                (0..200).for_each(|round| case.check((round * 7919 + thread * 131) * 997 % 2_000_000, 5000));
            });
        }
    });
    assert!(case.server.requests().len() <= 9);
}

#[test]
fn what_goes_wrong_on_the_way_is_tried_again() {
    let faults = [
        Fault::Drop,
        Fault::Truncate(1000),
        Fault::Truncate(0),
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(429),
        Fault::Delay(Duration::from_millis(450)),
    ];
    for fault in faults {
        let case = case(2, None);
        case.server.faults(&[fault, fault, Fault::None]);
        case.check(BLOCK as usize, 100);
        assert_eq!((case.server.requests().len(), case.lost.load(Ordering::Relaxed)), (3, 0), "{fault:?}");
    }
}

#[test]
fn what_cannot_be_had_is_lost_for_good() {
    let case = case(4, None);
    case.server.faults(&[Fault::Status(503); 4]);
    let error = case.fails(3 * BLOCK);
    assert!(error.to_string().ends_with("could not be had in 4 attempts: status 503, Faulty"), "{error}");
    assert!(error.is_of_the_way());
    // A part that could be had proves nothing either, and only the first failure is told.
    assert_eq!(case.fails(2 * BLOCK), error);
    assert_eq!((case.lost.load(Ordering::Relaxed), case.server.requests().len()), (1, 4));
}

#[test]
fn a_replaced_object_is_an_error_and_no_mixture() {
    let case = case(4, None);
    case.server.faults(&[Fault::Replace]);
    assert!(matches!(case.fails(2 * BLOCK), RemoteError::Replaced { .. }));
    // One that has no mark is at least as long as it was.
    let marked = Version { etag: None, modified: None, ..case.object.version().clone() };
    assert!(!marked.is_marked() && case.object.version().is_marked());
}

#[test]
fn what_is_refused_is_not_asked_for_again() {
    for (fault, expected) in [
        (Fault::Status(403), "is refused (status 403, Faulty)"),
        (Fault::Status(404), "is not there (status 404)"),
        (Fault::IgnoreRange, "does not answer requests for a part of it (status 200)"),
    ] {
        let server = Server::start();
        server.put("vmcore", contents(3));
        server.faults(&[fault]);
        let error = open(&server, None).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("SECRET"), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn short_and_empty_objects() {
    let server = Server::start();
    server.put("vmcore", b"short".to_vec());
    // Answered whole, it is all there, too.
    for fault in [Fault::None, Fault::IgnoreRange] {
        server.faults(&[fault]);
        let (object, _) = open(&server, None).unwrap();
        let mut buf = [0; 5];
        object.read_at(0, &mut buf).unwrap();
        assert_eq!((&buf, object.len()), (b"short", 5));
        assert!(object.read_at(3, &mut [0; 3]).is_err());
    }
    server.put("vmcore", Vec::new());
    assert!(open(&server, None).unwrap().0.is_empty());
}

#[test]
fn the_next_run_finds_blocks_on_disk_but_not_those_of_another_version() {
    let directory = tempfile::tempdir().unwrap();
    let files = BlockFiles { directory: directory.path().to_owned(), limit: 1 << 30 };
    let case = case(6, Some(&files));
    case.check(3 * BLOCK as usize, 10);
    case.object.remember(b"index");
    let (again, _) = open(&case.server, Some(&files)).unwrap();
    let mut buf = [0; 10];
    case.server.requests();
    again.read_at(3 * BLOCK, &mut buf).unwrap();
    assert_eq!((case.server.requests().len(), again.recall().as_deref()), (0, Some(&b"index"[..])));
    assert_eq!(buf, case.bytes[3 * BLOCK as usize..][..10]);

    case.server.put("vmcore", vec![9; case.bytes.len()]);
    let (replaced, _) = open(&case.server, Some(&files)).unwrap();
    replaced.read_at(3 * BLOCK, &mut buf).unwrap();
    assert_eq!((buf, replaced.recall()), ([9; 10], None));
}

#[test]
fn objects_are_written_once_and_listed() {
    let server = Server::start();
    let address = |path: &str| Address::parse(&format!("{}/{path}", server.url())).unwrap().unwrap();
    let client = client();
    assert_eq!(client.put_new(&address("bucket/rows/a"), b"first"), Ok(true));
    assert_eq!(client.put_new(&address("bucket/rows/a"), b"second"), Ok(false));
    assert_eq!(client.get(&address("bucket/rows/a"), 100).unwrap(), b"first");
    client.replace(&address("bucket/rows/a"), b"third").unwrap();
    assert_eq!(server.object("bucket/rows/a").unwrap(), b"third");
    assert!(client.get(&address("bucket/rows/a"), 4).is_err(), "longer than the limit");
    // An answer that was lost: the second attempt finds what the first has written.
    server.faults(&[Fault::Truncate(0)]);
    client.put_new(&address("bucket/rows/b"), b"b").unwrap();
    assert_eq!(server.object("bucket/rows/b").unwrap(), b"b");
}

#[test]
fn buckets_are_asked_with_signatures() {
    let server = Server::start();
    for name in ["a", "b c", "d", "e", "f"] {
        server.put(&format!("bucket/pile/{name}"), name.into());
    }
    server.put("bucket/other", vec![1]);
    let settings = Settings { endpoint: Some(server.url()), region: "us-east-1".into(), ..Settings::read(|_| None) };
    let signed = Client::new(settings);
    assert!(signed.signing.set(crate::signing::Signing::of_test("us-east-1")).is_ok());
    let address = |text: &str| Address::parse(text).unwrap().unwrap();
    let keys: Vec<_> = signed.list(&address("s3://bucket/pile/")).unwrap().into_iter().map(|it| it.key).collect();
    assert_eq!(keys, ["pile/a", "pile/b c", "pile/d", "pile/e", "pile/f"]);
    assert_eq!(signed.get(&address("s3://bucket/pile/b c"), 10).unwrap(), b"b c");
}
