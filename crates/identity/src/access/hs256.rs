//! HMAC-SHA256 for `jsonwebtoken`, and nothing else: its own back ends bring RSA and elliptic curves, which we neither
//! need nor want to accept.

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use sha2::Sha256;

/// Takes part in the process-wide choice that `jsonwebtoken` keeps. A choice made before stays: nobody else in this
/// program makes one, and a full provider would know HS256 too.
pub(super) fn install() {
    static PROVIDER: CryptoProvider =
        CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };
    let _kept = PROVIDER.install_default();
}

struct Hs256(Hmac<Sha256>);

fn keyed(algorithm: Algorithm, family: AlgorithmFamily, key: &[u8]) -> Result<Hs256, Error> {
    if algorithm != Algorithm::HS256 || family != AlgorithmFamily::Hmac {
        return Err(ErrorKind::UnsupportedAlgorithm.into());
    }
    Hmac::new_from_slice(key).map(Hs256).map_err(|_| ErrorKind::InvalidKeyFormat.into())
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Ok(Box::new(keyed(*algorithm, key.family(), key.as_bytes())?))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    Ok(Box::new(keyed(*algorithm, key.family(), key.try_get_as_bytes()?)?))
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(self.0.clone().chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    /// In a time that does not depend on where the signatures differ; a shortened one is refused.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        self.0.clone().chain_update(message).verify_slice(signature).map_err(|_| SignatureError::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::crypto::{sign, verify};
    use jsonwebtoken::decode_header;
    use wycheproof_ng_kdf_jose::json_web::{TestName, TestSet};

    const SAME_AS_VALID_A: usize = 367;
    const SAME_AS_VALID_B: usize = 370;
    const STRAY_IN_HEADER: usize = 372;
    const STRAY_IN_PAYLOAD: usize = 373;

    /// What `decode` does before it looks at the claims: payloads of the vectors are not ours.
    fn holds(token: &str, key: &[u8]) -> bool {
        let Some((message, signature)) = token.rsplit_once('.') else { return false };
        let signed_by_hs256 = decode_header(token).is_ok_and(|header| header.alg == Algorithm::HS256);
        let readable = message.split_once('.').is_some_and(|(_, payload)| URL_SAFE_NO_PAD.decode(payload).is_ok());
        signed_by_hs256
            && readable
            && verify(signature, message.as_bytes(), &DecodingKey::from_secret(key), Algorithm::HS256).unwrap_or(false)
    }

    #[test]
    fn the_hmac_vectors_of_wycheproof_hold() {
        install();
        let set = TestSet::load(TestName::JsonWebSignature).expect("the vectors are in the crate");
        let (mut valid, mut invalid) = (0, 0);
        for group in &set.test_groups {
            let Some(key) = group.private_key.as_ref().and_then(|jwk| jwk.get("k")).and_then(|k| k.as_str()) else {
                continue;
            };
            let key = URL_SAFE_NO_PAD.decode(key).expect("a key in base64url");
            for test in &group.tests {
                // The others are of the JSON serialisation, which is not ours.
                let Some(token) = test.jws.as_ref().and_then(|jws| jws.as_str()) else { continue };
                let good = match test.tc_id {
                    // Called wrong for their padding, but without any: they are vector 357 once more.
                    SAME_AS_VALID_A | SAME_AS_VALID_B => true,
                    // A `?` within the base64 is overlooked by lenient readers. Ours is not one.
                    STRAY_IN_HEADER | STRAY_IN_PAYLOAD => false,
                    _ => !test.result.must_fail(),
                };
                assert_eq!(holds(token, &key), good, "{}: {}", test.tc_id, test.comment);
                if good { valid += 1 } else { invalid += 1 }
            }
        }
        assert!(valid >= 3 && invalid >= 20, "{valid} valid, {invalid} invalid");
    }

    #[test]
    fn no_other_algorithm_and_no_other_kind_of_key() {
        install();
        let secret = EncodingKey::from_secret(&[7; 32]);
        for algorithm in [Algorithm::HS384, Algorithm::HS512, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
            assert!(sign(b"message", &secret, algorithm).is_err());
            assert!(verify("AAAA", b"message", &DecodingKey::from_secret(&[7; 32]), algorithm).is_err());
        }
        let public_key = DecodingKey::from_rsa_der(&[7; 32]);
        assert!(verify("AAAA", b"message", &public_key, Algorithm::HS256).is_err());
        assert!(sign(b"message", &secret, Algorithm::HS256).is_ok());
    }
}
