# A library composition as primitives.
entry f(x: f32[B, 10]) -> f32[B, 10] { softmax(x, -1) }
---

entry f(x: f32[B, 10]) -> f32[B, 10] {
  v0: f32[B] = reduce_max(x, axes = [1])
  v1: f32[B, 10] = broadcast(v0, shape = [B, 10], axes = [0])
  v2: f32[B, 10] = sub(x, v1)
  v3: f32[B, 10] = exp(v2)
  v4: f32[B] = reduce_sum(v3, axes = [1])
  v5: f32[B] = div(1.0, v4)
  v6: f32[B, 10] = broadcast(v5, shape = [B, 10], axes = [0])
  v7: f32[B, 10] = mul(v3, v6)
  v7
}
