# Additions of zero and products with one go away; x * 0 stays, for it may be NaN.
entry f(x: f32[N]) -> (f32[N], f32[N]) { ((x * 1 + 0) / 1, x * 0) }
---

entry f(x: f32[N]) -> (f32[N], f32[N]) {
  v0: f32[N] = add(x, 0.0)
  v1: f32[N] = mul(x, 0.0)
  (v0, v1)
}
