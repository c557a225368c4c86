//! Records that this program has not written.

use proptest::prelude::*;

use super::*;

/// Every number of a record replaced by one of these, or every text by another.
fn distort(fields: &mut Value, number: &Value, text: Option<&str>) {
    match fields {
        Value::Number(_) => *fields = number.clone(),
        Value::String(held) => {
            if let Some(text) = text {
                *held = text.to_owned();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| distort(value, number, text)),
        Value::Object(values) => values.values_mut().for_each(|value| distort(value, number, text)),
        Value::Null | Value::Bool(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_and_any_numbers_are_taken_without_a_panic(
        at: prop::sample::Index, xor in 1_u8.., number in prop_oneof![
            any::<u64>().prop_map(Value::from), any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from),
            prop::sample::select(vec![0_u64, 1, u64::MAX]).prop_map(Value::from),
        ],
        text in prop::option::of(".*"), elapsed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let before = cache(planned());
            fetch(&before, key(1), Ok(clicks(key(1), 3)));
            fetch(&before, key(1), Err(UpstreamFailure::Timeout.into()));
            fetch(&before, key(2), Ok(clicks(key(2), 3)));
            fetch(&before, key(2), Ok(not_found()));
            fetch(&before, key(3), Err(UpstreamFailure::Timeout.into()));
            for (schedule, elapsed) in
                [(planned(), SECOND), (RefreshSchedule::Fixed, SECOND), (planned(), Duration::from_millis(elapsed))]
            {
                let after = cache(schedule);
                let age = SnapshotAge { now: Instant::now(), elapsed };
                for record in records(&before) {
                    let body = record.body.map_or(Vec::new(), |body| body.body().to_vec());
                    let mut bytes = record.fields.clone();
                    bytes[at.index(record.fields.len())] ^= xor;
                    after.restore(age, &bytes, &body);
                    let mut fields: Value = serde_json::from_slice(&record.fields).unwrap();
                    distort(&mut fields, &number, None);
                    after.restore(age, &serde_json::to_vec(&fields).unwrap(), &body);
                    distort(&mut fields, &number, text.as_deref());
                    after.restore(age, &serde_json::to_vec(&fields).unwrap(), &body);
                }
                // What came of it can be used as any entry.
                for key in after.keys() {
                    let entry = after.peek(&key).unwrap();
                    let _shown = after.planned_view(&key, &entry, Instant::now());
                    let _looked_up = after.lookup(&key, Instant::now());
                }
                after.plan_minute(QuotaUse { used: 0, yesterday_exceeded_after: None }, start());
                fetch(&after, key(1), Ok(clicks(key(1), 5)));
                let _again = records(&after);
            }
        });
    }
}
