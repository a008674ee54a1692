# Of a row too long for registers, the exponentials wait in the memory of the result between two passes.
entry f(x: f32[B, N]) -> f32[B, N] { softmax(x, -1) }
---
kernel f_0_row(B in 1..=2147483647, N in 1..=2147483647; inout y10: f32[B, N], in x1: f32[B, N]) {
  stage main(i0 < B) {
    reg r2[4]: f32x16 = -inf
    for block in 0..N // 64 {
      for s in 0..4 unroll {
        let v1 = x1[i0, block * 64 + s * 16 + lane(16)]
        r2[s] = max(r2[s], v1)
      }
    }
    for j in N // 64 * 64..N vector 16 tail mask {
      let v1 = x1[i0, j]
      r2[0] = max(r2[0], v1)
    }
    let v2 = hmax(max(max(r2[0], r2[1]), max(r2[2], r2[3])))
    reg r6: f32x16 = 0.0
    for j in 0..N vector 16 tail mask {
      prefetch x1[i0 + 1, j]
      let v1 = x1[i0, j]
      let v4 = v1 - v2
      let v5 = exp_neg(v4)
      y10[i0, j] = v5
      r6 = r6 + v5
    }
    let v6 = hadd(r6)
    let v8 = 1.0 / v6
    for j in 0..N vector 16 tail mask {
      let waited = y10[i0, j]
      let v10 = waited * v8
      y10[i0, j] = v10
    }
  }
}

