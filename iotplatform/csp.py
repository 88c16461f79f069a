"""What pages of ours may load: nothing from elsewhere (Content-Security-Policy)."""

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE

DIRECTIVES = {
    "default-src": [NONE],
    # Unfold's Alpine makes functions out of attributes, which counts as eval.
    "script-src": [SELF, UNSAFE_EVAL],
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF, "data:"],
    "font-src": [SELF],
    # Streams of live values, and Swagger UI's requests.
    "connect-src": [SELF],
    "manifest-src": [SELF],
    "base-uri": [NONE],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
}
