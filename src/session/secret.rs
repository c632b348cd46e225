//! Passwords: issued, never chosen, and never kept.
//!
//! A password is 80 random bits, so nobody can guess one, and a plain SHA-256 of it is as good as any slow function: there
//! is no list of likely ones to try. What is kept says how it was made, so that another way can come beside this one. The
//! random bits are an argument. Nothing here may be written to a log but what `sealed` returns.

use std::hint::black_box;

/// Crockford's 32 signs: what is typed in place of another that looks like it is taken for that one, and no word that
/// anybody would mind can come of them.
const SIGNS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Signs between two hyphens: so many can be kept in mind from the screen to the keyboard.
const GROUP_SIGNS: usize = 4;
/// What a stored digest opens with.
const SHA_256: &str = "sha256$";

/// A password of 80 random bits: four groups of four letters or digits.
pub fn issue(random: [u8; 10]) -> String {
    let mut bits = random.iter().fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
    let mut password = String::new();
    for place in 0..16 {
        if place > 0 && place % GROUP_SIGNS == 0 {
            password.push('-');
        }
        password.push(char::from(SIGNS[(bits % 32) as usize]));
        bits /= 32;
    }
    password
}

/// What was meant by what somebody has typed: capital letters, spaces and hyphens do not matter, nor do `o`, `i` and `l`
/// in place of the digits that look like them.
pub fn normalise(typed: &str) -> String {
    let meant = |c: char| match c.to_ascii_lowercase() {
        ' ' | '-' => None,
        'o' => Some('0'),
        'i' | 'l' => Some('1'),
        c => Some(c),
    };
    typed.chars().filter_map(meant).collect()
}

/// What is kept of a password: `sha256$` and 64 hexadecimal digits.
pub fn sealed(password: &str) -> String {
    let digest = sha_256(normalise(password).as_bytes());
    digest.iter().fold(SHA_256.to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Whether what was typed is the password of which `kept` is kept. How long that takes tells nothing of what is kept. Of
/// another form than that of `sealed` nothing is the password.
pub fn matches(kept: &str, typed: &str) -> bool {
    let typed = sealed(typed);
    let differs = |(a, b): (u8, u8)| a ^ b;
    kept.len() == typed.len()
        && kept.bytes().zip(typed.bytes()).map(differs).fold(0, |all, one| black_box(all | one)) == 0
}

/// SHA-256, as FIPS 180-4 section 6.2 has it.
pub fn sha_256(message: &[u8]) -> [u8; 32] {
    let first = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
    digest(first, compress_256, message)
}

/// SHA-1, as section 6.1 has it. It keeps no secret and proves nothing: RFC 6455 wants it in the handshake.
pub fn sha_1(message: &[u8]) -> [u8; 20] {
    digest([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0], compress_1, message)
}

/// What both have in common: blocks of the message, one after another, change a hash of so many words.
fn digest<const WORDS: usize, const BYTES: usize>(
    mut hash: [u32; WORDS],
    compress: fn(&mut [u32; WORDS], [u32; 16]),
    message: &[u8],
) -> [u8; BYTES] {
    let (blocks, rest) = message.as_chunks::<64>();
    // Section 5.1.1: a single bit, then zeros, and the length in bits at the end of a block.
    let mut padded = rest.to_vec();
    padded.push(0x80);
    padded.resize(if rest.len() < 56 { 56 } else { 120 }, 0);
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    for block in blocks.iter().chain(padded.as_chunks::<64>().0) {
        let mut words = [0; 16];
        words.iter_mut().zip(block.as_chunks::<4>().0).for_each(|(word, bytes)| *word = u32::from_be_bytes(*bytes));
        compress(&mut hash, words);
    }
    let mut digest = [0; BYTES];
    digest.as_chunks_mut::<4>().0.iter_mut().zip(hash).for_each(|(bytes, word)| *bytes = word.to_be_bytes());
    digest
}

/// Section 6.2.2, for one block.
fn compress_256(hash: &mut [u32; 8], block: [u32; 16]) {
    let mut words = [0u32; 64];
    words[..16].copy_from_slice(&block);
    for t in 16..64 {
        let (a, b) = (words[t - 15], words[t - 2]);
        let small_0 = a.rotate_right(7) ^ a.rotate_right(18) ^ a >> 3;
        let small_1 = b.rotate_right(17) ^ b.rotate_right(19) ^ b >> 10;
        words[t] = words[t - 16].wrapping_add(small_0).wrapping_add(words[t - 7]).wrapping_add(small_1);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *hash;
    for (constant, word) in CONSTANTS.iter().zip(words) {
        let large_1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = e & f ^ !e & g;
        let first = h.wrapping_add(large_1).wrapping_add(choice).wrapping_add(*constant).wrapping_add(word);
        let large_0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = a & b ^ a & c ^ b & c;
        (h, g, f, e) = (g, f, e, d.wrapping_add(first));
        (d, c, b, a) = (c, b, a, first.wrapping_add(large_0).wrapping_add(majority));
    }
    hash.iter_mut().zip([a, b, c, d, e, f, g, h]).for_each(|(old, new)| *old = old.wrapping_add(new));
}

/// Section 6.1.2, for one block.
fn compress_1(hash: &mut [u32; 5], block: [u32; 16]) {
    let mut words = [0u32; 80];
    words[..16].copy_from_slice(&block);
    for t in 16..80 {
        words[t] = (words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16]).rotate_left(1);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *hash;
    for (t, word) in words.into_iter().enumerate() {
        let (mixed, constant) = match t {
            0..20 => (b & c ^ !b & d, 0x5a827999),
            20..40 => (b ^ c ^ d, 0x6ed9eba1),
            40..60 => (b & c ^ b & d ^ c & d, 0x8f1bbcdc),
            _ => (b ^ c ^ d, 0xca62c1d6),
        };
        let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(constant).wrapping_add(word);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
    }
    hash.iter_mut().zip([a, b, c, d, e]).for_each(|(old, new)| *old = old.wrapping_add(new));
}

/// Section 4.2.2.
const CONSTANTS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
    0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
    0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digest: impl AsRef<[u8]>) -> String {
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digits).collect()
    }

    /// FIPS 180-4's examples, and of NIST's byte-oriented messages those whose lengths are at the edges of the padding.
    #[test]
    fn digests_are_those_that_nist_states() {
        let a_million = "a".repeat(1_000_000);
        for (message, digest) in [
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
            (
                "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrst\
                 nopqrstu",
                "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
            ),
            (&a_million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        ] {
            assert_eq!(hex(sha_256(message.as_bytes())), digest);
        }
        for (message, digest) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("d3", "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1"),
            ("11af", "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98"),
            ("b4190e", "dff2e73091f6c05e528896c4c831b9448653dc2ff043528f6769437bc7b975c2"),
            ("74ba2521", "b16aa56be3880d18cd41e68384cf1ec8c17680c45a02b1575dc1518923ae8b0e"),
            ("5738c929c4f4ccb6", "963bb88f27f512777aab6c8b1a02c70ec0ad651d428f870036e1917120fb48bf"),
            (
                "2d52447d1244d2ebc28650e7b05654bad35b3a68eedc7f8515306b496d75f3e73385dd1b002625024b81a02f2fd6dffb6e6d561\
                 cb7d0bd7a",
                "cfb88d6faf2de3a69d36195acec2e255e2af2b7d933997f348e09f6ce5758360",
            ),
            (
                "e2f76e97606a872e317439f1a03fcd92e632e5bd4e7cbc4e97f1afc19a16fde92d77cbe546416b51640cddb92af996534dfd81e\
                 db17c4424cf1ac4d75aceeb",
                "18041bd4665083001fba8c5411d2d748e8abbfdcdfd9218cb02b68a78e7d4c23",
            ),
            (
                "5a86b737eaea8ee976a0a24da63e7ed7eefad18a101c1211e2b3650c5187c2a8a650547208251f6d4237e661c7bf4c77f335390\
                 394c37fa1a9f9be836ac28509",
                "42e61e174fbb3897d6dd6cef3dd2802fe67b331953b06114a65c772859dfc1aa",
            ),
        ] {
            assert_eq!(hex(sha_256(&bytes(message))), digest);
        }
        for (length, digest) in [
            (55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"),
            (119, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb"),
            (120, "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c"),
            (128, "6836cf13bac400e9105071cd6af47084dfacad4e5e302c94bfed24e013afb73e"),
        ] {
            assert_eq!(hex(sha_256("a".repeat(length).as_bytes())), digest, "{length}");
        }
    }

    /// The same of SHA-1.
    #[test]
    fn digests_of_sha_1_are_those_that_nist_states() {
        let a_million = "a".repeat(1_000_000);
        for (message, digest) in [
            ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1"),
            (
                "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrst\
                 nopqrstu",
                "a49b2446a02c645bf419f995b67091253a04a259",
            ),
            (&a_million, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
            ("6", "c1dfd96eea8cc2b62785275bca38ac261256e278"),
            (&a_million[..55], "c1c8bbdc22796e28c0e15163d20899b65621d65a"),
            (&a_million[..56], "c2db330f6083854c99d4b5bfb6e8f29f201be699"),
            (&a_million[..63], "03f09f5b158a7a8cdad920bddc29b81c18a551f5"),
            (&a_million[..64], "0098ba824b5c16427bd7a1122a5a442a25ec644d"),
            (&a_million[..119], "ee971065aaa017e0632a8ca6c77bb3bf8b1dfc56"),
            (&a_million[..120], "f34c1488385346a55709ba056ddd08280dd4c6d6"),
        ] {
            assert_eq!(hex(sha_1(message.as_bytes())), digest, "{}", message.len());
        }
        let seed = bytes("dd4df644eaf3d85bace2b21accaa22b28821f5cd");
        let mut last = [seed.clone(), seed.clone(), seed];
        for _ in 0..1_000 {
            let next = sha_1(&last.concat()).to_vec();
            last.rotate_left(1);
            last[2] = next;
        }
        assert_eq!(hex(&last[2]), "11f5c38b4479d4ad55cb69fadf62de0b036d5163");
    }

    /// The Secure Hash Algorithm Validation System, section 6.4: a thousand digests, each of the three before it.
    #[test]
    fn a_thousand_digests_of_digests_end_where_nist_says() {
        let seed = bytes("6d1e72ad03ddeb5de891e572e2396f8da015d899ef0e79503152d6010a3fe691");
        let mut last = [seed.clone(), seed.clone(), seed];
        for _ in 0..1_000 {
            let next = sha_256(&last.concat()).to_vec();
            last.rotate_left(1);
            last[2] = next;
        }
        assert_eq!(hex(&last[2]), "e93c330ae5447738c8aa85d71a6c80f2a58381d05872d26bdd39f1fcd4f2b788");
    }

    #[test]
    fn a_password_holds_every_random_bit_in_groups_that_can_be_read_aloud() {
        assert_eq!(issue([0; 10]), "0000-0000-0000-0000");
        assert_eq!(issue([255; 10]), "zzzz-zzzz-zzzz-zzzz");
        assert_eq!(issue([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), "902e-03m0-4r04-g000");
        let mut issued: Vec<String> =
            (0..80).map(|bit| issue((1u128 << bit).to_be_bytes()[6..].try_into().unwrap())).collect();
        issued.sort();
        issued.dedup();
        assert_eq!(issued.len(), 80);
        for password in issued {
            assert_eq!(password.split('-').map(str::len).collect::<Vec<_>>(), [4; 4]);
            assert_eq!(normalise(&password), password.replace('-', ""));
        }
        assert!(!SIGNS.iter().any(|sign| b"ilou".contains(sign)) && SIGNS.is_sorted());
    }

    #[test]
    fn what_is_kept_is_matched_by_what_was_issued_however_it_is_typed_and_by_nothing_else() {
        let kept = sealed("902e-03m0-4r04-g000");
        assert_eq!(kept, "sha256$93b5a6bc1fe6d9a8137bae238d557fffa419a000960e30befffcb825d0745916");
        for typed in ["902e-03m0-4r04-g000", "902E03M04R04G000", " 9 02e 03m0 4r04 g000 ", "9o2e-O3mo-4r04-gooo"] {
            assert!(matches(&kept, typed), "{typed}");
        }
        assert_eq!(normalise("1I il-Lo"), "111110");
        for typed in
            ["", "902e-03m0-4r04-g00", "902e-03m0-4r04-g0000", "902e-03m0-4r04-g001", "902e-03m0-4r04-g000!", &kept]
        {
            assert!(!matches(&kept, typed), "{typed}");
        }
    }

    #[test]
    fn what_is_kept_in_an_unknown_form_is_matched_by_nothing() {
        let digest = sealed("abcd");
        for kept in [
            "",
            "sha256$",
            "abcd",
            &digest["sha256$".len()..],
            &digest.replace("sha256", "sha512"),
            &digest.to_uppercase(),
            &digest[..digest.len() - 1],
            &format!("{digest}0"),
        ] {
            assert!(!matches(kept, "abcd"), "{kept}");
        }
        assert!(matches(&digest, "abcd"));
    }

    #[test]
    fn every_digit_of_what_is_kept_counts() {
        let kept = sealed("abcd");
        for at in 0..kept.len() {
            // Also two that differ in the same way.
            for end in [at, (at + 1) % kept.len()] {
                let mut other = kept.clone().into_bytes();
                other[at] ^= 1;
                other[end] ^= if end == at { 0 } else { 1 };
                assert!(!matches(str::from_utf8(&other).unwrap(), "abcd"), "{at} {end}");
            }
        }
    }
}
