//! The evaluator: any text gives a value that prints, or an error that renders. No file can be read.
#![no_main]

use std::path::Path;

use libfuzzer_sys::{Corpus, fuzz_target};
use xbuild_eval::local_host::LocalHost;
use xbuild_eval::{Evaluator, Settings, stack};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    stack::with_big_stack(|| {
        let settings = Settings {
            pure: true,
            max_call_depth: 200,
            features: vec!["pipe-operators".into(), "ca-derivations".into()],
            ..Settings::default()
        };
        let mut ev = Evaluator::new(Box::new(LocalHost::new()), settings);
        let result = ev
            .eval_expr(text, Path::new("/"))
            .and_then(|value| ev.print(value, true));
        if let Err(error) = result {
            assert!(ev.render(&error, true).starts_with("error:"));
        }
    })
    .expect("a stack");
    Corpus::Keep
});
