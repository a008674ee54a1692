# Without masks a row that is no multiple of the width is not held.
# level: v2
entry f(x: f32[B, 10]) -> f32[B, 10] { softmax(x, -1) }
---
kernel f_0_row(B in 1..=2147483647; inout y10: f32[B, 10], in x1: f32[B, 10]) {
  stage main(i0 < B) {
    reg r2: f32x4 = -inf
    for j in 0..10 vector 4 tail peel {
      let v1 = x1[i0, j]
      r2 = max(r2, v1)
    }
    let v2 = hmax(r2)
    reg r6: f32x4 = 0.0
    for j in 0..10 vector 4 tail peel {
      let v1 = x1[i0, j]
      let v4 = v1 - v2
      let v5 = exp_neg(v4)
      y10[i0, j] = v5
      r6 = r6 + v5
    }
    let v6 = hadd(r6)
    let v8 = 1.0 / v6
    for j in 0..10 vector 4 tail peel {
      let waited = y10[i0, j]
      let v10 = waited * v8
      y10[i0, j] = v10
    }
  }
}

