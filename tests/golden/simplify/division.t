# A division by a number becomes a product where no bit changes by it, else it stays.
entry f(x: f32[N]) -> (f32[N], f32[N]) { (x / 16, x / 3) }
---

entry f(x: f32[N]) -> (f32[N], f32[N]) {
  v0: f32[N] = mul(x, 0.0625)
  v1: f32[N] = div(x, 3.0)
  (v0, v1)
}
