# A window of one place: lanes along the row, which all channels read one after the other; what is left of it is masked.
entry f(x: f32[2, 3, 5, 40], w: f32[4, 3, 1, 1]) -> f32[2, 4, 5, 40] { relu(conv(x, w)) }
---
kernel f_0_conv(; in x1: f32[2, 3, 5, 40], in x2: f32[4, 3, 1, 1], out y6: f32[2, 4, 5, 40]) {
  stage main(b < 2, p0 < 5, o < 1) {
    reg t[4][3]: f32x16 = 0.0
    for k0 in 0..1 {
      for k1 in 0..1 {
        for i in 0..3 unroll {
          reg x[3]: f32x16
          for v in 0..3 unroll {
            let x_2 = load(x1[b, i, p0 + k0, v * 16 + lane(16) + k1], v * 16 + lane(16) < 40, 0.0)
            x[v] = x_2
          }
          for j in 0..4 unroll {
            let v2 = x2[o * 4 + j, i, 0, 0]
            let w = v2
            for v in 0..3 unroll {
              t[j][v] = fma(w, x[v], t[j][v])
            }
          }
        }
      }
    }
    for j in 0..4 unroll {
      for v in 0..3 unroll {
        if v * 16 + lane(16) < 40 {
          let v5 = t[j][v] <= 0.0
          let v6 = select(v5, 0.0, t[j][v])
          y6[b, o * 4 + j, p0, v * 16 + lane(16)] = v6
        }
      }
    }
  }
}

