# Products with one and quotients by one go away; x + 0 stays, for it makes 0 of -0, and x * 0, for it may be NaN.
entry f(x: f32[N]) -> (f32[N], f32[N], f32[N]) { (x * 1 / 1, x + 0, x * 0) }
---

entry f(x: f32[N]) -> (f32[N], f32[N], f32[N]) {
  v0: f32[N] = add(x, 0.0)
  v1: f32[N] = mul(x, 0.0)
  (x, v0, v1)
}
