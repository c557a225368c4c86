//! Access tokens that look like the vendor's: a JWT of 1.0 to 1.2 kB. They are signed
//! with no key; a client that trusts their claims, or truncates long header values, fails.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

/// A new token, unlike every earlier one of this generator.
pub(super) fn invent(
    random: &mut fastrand::Rng,
    client_id: &str,
    issued_at_unix_seconds: u64,
    lifetime_seconds: u64,
) -> String {
    let header = json!({ "kid": "simulated-key-2026-01", "alg": "RS256" }).to_string();
    let issuer = "https://identity.constantcontact.com/oauth2/aus1lm3ry9mF7x2Ja0h8";
    let payload = json!({
        "ver": 1,
        "jti": format!("AT.{:032x}.{:016x}", random.u128(..), random.u64(..)),
        "iss": issuer,
        "aud": "https://api.cc.email/v3",
        "iat": issued_at_unix_seconds,
        "exp": issued_at_unix_seconds + lifetime_seconds,
        "cid": client_id,
        "uid": "00u1a2b3c4d5e6f7g8h9",
        "scp": ["campaign_data", "offline_access"],
        "auth_time": issued_at_unix_seconds,
        "sub": "owner@harbourlight.example",
        "platform_user_id": format!("{:032x}", random.u128(..)),
        "cc_account": format!("a07e{:016x}", random.u64(..)),
    })
    .to_string();
    let mut signature = [0_u8; 256];
    random.fill(&mut signature);
    [header.as_bytes(), payload.as_bytes(), &signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_size_of_the_vendors() {
        let mut random = fastrand::Rng::with_seed(1);
        let one = invent(&mut random, "f3a1c0de-5e1f-4d0c-9a57-1b2c3d4e5f60", 1_700_000_000, 86_400);
        let other = invent(&mut random, "f3a1c0de-5e1f-4d0c-9a57-1b2c3d4e5f60", 1_700_000_000, 86_400);
        assert!((1000..=1200).contains(&one.len()), "{}", one.len());
        assert_ne!(one, other);
    }
}
