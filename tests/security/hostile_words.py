"""What somebody types who wants to run something in the director's browser, sheet or letter."""

SCRIPTS = (
    "<script>window.stolen=1</script>",
    '"><img src=x onerror=window.stolen=2>',
    "' autofocus onfocus=window.stolen=3 x='",
    "</textarea></title></style><svg onload=window.stolen=4>",
    "javascript:window.stolen=5//",
    "{{7*7}}{% for x in (1,) %}{{x}}{% endfor %}${7*7}#{7*7}",
    '<a href="javascript:window.stolen=6">нажмите</a>',
    "]]><!--<iframe srcdoc='<script>top.stolen=7</script>'>",
    "<math><mtext></p><style><img src=x onerror=window.stolen=8>",
    "&lt;script&gt;window.stolen=9&lt;/script&gt;",
)
FORMULAS = (
    "=cmd|' /C calc'!A1",
    "+1+cmd",
    "-2+3",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    '=HYPERLINK("http://evil")',
)
BROKEN = (
    "строка\r\nBcc: evil@example.org", "счёт\u202efdp.exe", "ноль\x00ноль", "\U0001f600\U0001f3f4",
    "\u2028;alert(1)//", "\ud7ff\ufffd",
)  # fmt: skip
"""Line ends for headers, letters that turn the line round, a zero, four bytes, a separator of lines."""

EVERYTHING = SCRIPTS + FORMULAS + BROKEN
ALL_IN_ONE = "".join(SCRIPTS) + "\u202e\U0001f600"
