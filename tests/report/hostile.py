"""Names and messages that somebody might have typed, meant or not."""

SCRIPT = "<script>alert(1)</script>"
HOSTILE = (
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "a|b`c*d_e[f](https://evil.example)",
    "# heading\n\n- list",
    "$\\frac{1}{0}$ $ _^",
    "{{ 7*7 }}{% raw %}",
    "turned \N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
    "half \ud83d character",
    "nul \x00 bell \x07",
    "実験 エクスペリメント",
    "👩\N{ZERO WIDTH JOINER}🚀 Ünïcode",
    "long " * 60,
    "]]></style></svg><b>",
    "=HYPERLINK(1)",
)
