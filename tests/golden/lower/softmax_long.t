# Of a row too long for registers, the exponentials wait in the memory of the result between two passes.
entry f(x: f32[B, N]) -> f32[B, N] { softmax(x, -1) }
---
kernel f_0_row(B in 1..=2147483647, N in 1..=2147483647; inout y8: f32[B, N], in x1: f32[B, N]) {
  stage main(i0 < B) {
    reg r2: f32x16 = -inf
    for j in 0..N vector 16 tail mask {
      let v1 = x1[i0, j]
      r2 = max(r2, v1)
    }
    let v2 = hmax(r2)
    reg r6: f32x16 = 0.0
    for j in 0..N vector 16 tail mask {
      let v1 = x1[i0, j]
      let v4 = v1 - v2
      let v5 = exp(v4)
      y8[i0, j] = v5
      r6 = r6 + v5
    }
    let v6 = hadd(r6)
    for j in 0..N vector 16 tail mask {
      let waited = y8[i0, j]
      let v8 = waited / v6
      y8[i0, j] = v8
    }
  }
}

