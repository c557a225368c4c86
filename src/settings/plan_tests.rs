//! The settings of planned refreshes, through [`Settings::load`](super::Settings::load).

use super::{RefreshMode, tests::load};

#[test]
fn refreshes_are_planned_unless_the_settings_name_another_way() {
    let refresh = |toml| load(toml, &[]).unwrap().cache.refresh;
    assert_eq!(refresh(""), RefreshMode::Planned);
    for (toml, mode) in [
        ("cache.refresh = 'planned'", RefreshMode::Planned),
        ("cache.refresh = 'fixed'", RefreshMode::Fixed),
        ("cache.refresh = 'before'", RefreshMode::Before),
    ] {
        assert_eq!(refresh(toml), mode, "{toml}");
    }
}

#[test]
fn the_settings_of_the_plan_are_accepted_up_to_their_limits_and_no_further() {
    for toml in [
        "cache = { min_refresh_interval = '1s', unexpected_clicks = 0 }\nquota.refresh_hour_share = 1",
        "cache = { min_refresh_interval = '1h', unexpected_clicks = 1000 }\nquota.refresh_hour_share = 0.001",
    ] {
        load(toml, &[]).expect(toml);
    }
    let table = [
        ("quota.refresh_hour_share = 0", "quota.refresh_hour_share: must be a fraction above 0, at most 1"),
        ("quota.refresh_hour_share = 1.01", "quota.refresh_hour_share: must be a fraction above 0"),
        ("quota.refresh_hour_share = nan", "quota.refresh_hour_share: must be a fraction above 0"),
        ("cache.min_refresh_interval = '999ms'", "cache.min_refresh_interval: must be a time from 1s to 1h"),
        ("cache.min_refresh_interval = '61m'", "cache.min_refresh_interval: must be a time from 1s to 1h"),
        ("cache.unexpected_clicks = -1", "cache.unexpected_clicks: must be a number from 0 to 1000"),
        ("cache.unexpected_clicks = 1000.5", "cache.unexpected_clicks: must be a number from 0 to 1000"),
        ("cache.unexpected_clicks = nan", "cache.unexpected_clicks: must be a number from 0 to 1000"),
    ];
    for (toml, line) in table {
        let error = load(toml, &[]).expect_err(toml);
        assert!(error.starts_with(line), "{toml}: {error}");
        assert_eq!(error.lines().count(), 1, "{toml}: {error}");
    }
}
