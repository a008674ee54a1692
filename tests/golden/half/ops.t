# Computing is done in f32 between conversions; what only moves elements stays 16 bits wide; numbers are those of the narrow type.
entry f(x: bf16[B, 8], w: bf16[4, 8], i: i64[B]) -> {y: bf16[B, 4], z: f16[B], m: bool[B, 8], t: bf16[8, B], g: bf16[B, 8], u: f32[B]} where B <= 9 {
  y = tanh(x @ w.T * 0.1)
  {y, z = sum(x, -1).to(f16), m = x > 1, t = x.T, g = w[i % 4], u = max(x.to(f32), -1)}
}
---

entry f(x: bf16[B, 8], w: bf16[4, 8], i: i64[B]) -> {y: bf16[B, 4], z: f16[B], m: bool[B, 8], t: bf16[8, B], g: bf16[B, 8], u: f32[B]} where B <= 9 {
  v0: f32[B, 8] = convert(x, dtype = f32)
  v1: f32[4, 8] = convert(w, dtype = f32)
  v2: f32[B, 4] = dot_general(v0, v1, contract = [[1], [1]], batch = [[], []])
  v3: bf16[B, 4] = convert(v2, dtype = bf16)
  v4: f32[B, 4] = convert(v3, dtype = f32)
  v5: f32[B, 4] = mul(v4, 0.100097656)
  v6: bf16[B, 4] = convert(v5, dtype = bf16)
  v7: f32[B, 4] = convert(v6, dtype = f32)
  v8: f32[B, 4] = tanh(v7)
  v9: bf16[B, 4] = convert(v8, dtype = bf16)
  v10: f32[B] = reduce_sum(v0, axes = [1])
  v11: bf16[B] = convert(v10, dtype = bf16)
  v12: f32[B] = convert(v11, dtype = f32)
  v13: f16[B] = convert(v12, dtype = f16)
  v14: f16[B] = stop_gradient(v13)
  v15: bool[B, 8] = greater(v0, 1.0)
  v16: bf16[8, B] = transpose(x, axes = [1, 0])
  v17: i64[B] = rem(i, 4)
  v18: bool[B] = less(v17, 0)
  v19: i64[B] = add(v17, 4)
  v20: i64[B] = select(v18, v19, v17)
  v21: bf16[B, 8] = gather(w, v20, axis = 0)
  v22: f32[B] = reduce_max(v0, axes = [1])
  {y = v9, z = v14, m = v15, t = v16, g = v21, u = v22}
}
