# A row that fits is held in registers between the passes.
entry f(x: f32[B, 20]) -> f32[B, 20] { softmax(x, -1) }
---
kernel f_0_row(B in 1..=2147483647; in x1: f32[B, 20], out y10: f32[B, 20]) {
  stage main(i0 < B) {
    reg h1[2]: f32x16
    reg h5[2]: f32x16
    reg r2: f32x16 = -inf
    for v in 0..2 unroll {
      if v * 16 + lane(16) < 20 {
        let v1 = x1[i0, v * 16 + lane(16)]
        h1[v] = v1
        r2 = max(r2, v1)
      }
    }
    let v2 = hmax(r2)
    reg r6: f32x16 = 0.0
    for v in 0..2 unroll {
      if v * 16 + lane(16) < 20 {
        let v4 = h1[v] - v2
        let v5 = exp_neg(v4)
        h5[v] = v5
        r6 = r6 + v5
      }
    }
    let v6 = hadd(r6)
    let v8 = 1.0 / v6
    for v in 0..2 unroll {
      if v * 16 + lane(16) < 20 {
        let v10 = h5[v] * v8
        y10[i0, v * 16 + lane(16)] = v10
      }
    }
  }
}

