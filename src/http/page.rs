//! A page for browsers: one document that holds its style and its script, so that it needs nothing else from anywhere.
//!
//! Names in a world are chosen by strangers. Whatever one of them holds, a browser runs no script and takes no style but
//! those whose digests stand in the answer's policy (Content Security Policy Level 3), lets those make no markup of a text
//! (Trusted Types), sends nothing to anybody but this server, and shows the page inside no other.

use std::sync::LazyLock;

use crate::session::secret::sha_256;
use crate::text::base64;

/// The page for operators, which draws what `/status` and `/map` tell.
pub static WATCH: LazyLock<Page> = LazyLock::new(|| {
    Page::new(include_str!("page/watch.html"), include_str!("page/watch.css"), include_str!("page/watch.js"))
});

/// A document, and what an answer says of it.
pub struct Page {
    /// The fields of the answer.
    pub fields: String,
    /// All of it.
    pub text: String,
}

impl Page {
    /// Puts a page together: `html` is what follows the style, from its title on.
    pub fn new(html: &str, style: &str, script: &str) -> Page {
        let [style_digest, script_digest] = [style, script].map(|text| base64(&sha_256(text.as_bytes())));
        Page {
            fields: format!(
                "Content-Type: text/html; charset=utf-8\r\n\
                 Content-Security-Policy: default-src 'none'; script-src 'sha256-{script_digest}'; \
                 style-src 'sha256-{style_digest}'; connect-src 'self'; img-src data:; base-uri 'none'; \
                 form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                 trusted-types 'none'\r\n\
                 Referrer-Policy: no-referrer\r\nX-Frame-Options: DENY\r\n"
            ),
            text: format!(
                "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
                 <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
                 <link rel=\"icon\" href=\"data:,\">\n<style>{style}</style>\n{html}<script>{script}</script>\n</html>\n"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_of_a_page_lets_in_its_own_style_and_script_alone() {
        let Page { fields, text } = Page::new("<title>A</title>\n<p>B\n", "p{color:red}", "alert(1)");
        // From `openssl dgst -sha256 -binary | base64`.
        for part in [
            "\r\nContent-Security-Policy: default-src 'none'; ",
            "; script-src 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='; ",
            "; style-src 'sha256-p0bF+un5yUb9MBO6xRb8kPHlY2BdpHVtLiFkDrZPF64='; ",
            "; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'\r\n",
            "\r\nReferrer-Policy: no-referrer\r\n",
            "\r\nX-Frame-Options: DENY\r\n",
        ] {
            assert!(fields.contains(part), "{part} in {fields}");
        }
        assert!(!fields.contains("unsafe") && !fields.contains('*'));
        assert!(text.starts_with("<!doctype html>\n") && text.ends_with("\n</html>\n"));
        assert!(text.contains("\n<style>p{color:red}</style>\n<title>A</title>\n<p>B\n<script>alert(1)</script>\n"));
    }
}
