# Padding selects zero outside, and reads a place that is inside.
entry f(x: f32[N]) -> f32[N + 3] { pad(x, 1, 2) }
---
tests/golden/lower/pad.t:2:36: error: `pad` takes (x, lo: int, hi: int, axis: int): `axis` is missing [sir-argument-missing]
    2 | entry f(x: f32[N]) -> f32[N + 3] { pad(x, 1, 2) }
      |                                    ^
