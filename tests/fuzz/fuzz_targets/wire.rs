//! The wire between engine and writer: whatever bytes come, each side understands a frame or refuses it; what is
//! understood is, put into bytes again, the same bytes, so that two readings cannot differ.
#![no_main]

use aqevia_engine::limits::FRAME_BYTES_MAX;
use aqevia_engine::writer::wire::{Frames, Said, ToEngine, ToWriter, Wire, frame_length, understand};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // As they say themselves how long they are.
    let mut rest = bytes;
    while let Some(length) = frame_length(rest).filter(|length| (5..=rest.len()).contains(length)) {
        check_both(&rest[..length]);
        rest = &rest[length..];
    }
    // And all of it as one.
    let length = (bytes.len() as u32).to_le_bytes();
    check_both(&[&length[..], bytes].concat());
});

fn check_both(frame: &[u8]) {
    assert!(frame.len() <= 4 + FRAME_BYTES_MAX);
    check::<ToWriter>(frame);
    check::<ToEngine>(frame);
}

fn check<M: for<'a> Wire<'a> + Clone + Eq>(frame: &[u8]) {
    let (mut again, mut records) = (Frames::default(), Vec::new());
    let said = understand::<M>(frame, &mut |record| {
        let mut frames = Frames::default();
        assert!(frames.record(&record));
        assert_eq!(frame_length(&frames.bytes), Some(frames.bytes.len()));
        records.extend_from_slice(&frames.bytes[5..]);
    });
    match said {
        Some(Said::Message(message)) => {
            again.message(&message);
            assert!(records.is_empty() && again.bytes == frame);
            let understood = understand::<M>(&again.bytes, &mut |_| panic!("a record"));
            assert!(matches!(understood, Some(Said::Message(other)) if other == message));
        }
        Some(Said::Records) => assert_eq!(records, &frame[5..]),
        // What came before is handed on all the same.
        None => assert!(frame.len() < 5 || frame[5..].starts_with(&records)),
    }
}
