# The last columns take two vectors of three: a tile of its own, masked; the others need no mask.
entry f(x: f32[2, 8], y: f32[8, 72]) -> f32[2, 72] { x @ y }
---
kernel f_0_gemm(; in x2: f32[8, 72], in x1: f32[2, 8], out y3: f32[2, 72]) {
  stage main(jp < 2) {
    if jp < 1 {
      for it in 0..1 {
        let row = it * 2
        reg t[2][3]: f32x16 = 0.0
        for k in 0..8 {
          reg b[3]: f32x16
          for v in 0..3 unroll {
            let v2 = x2[k, jp * 48 + v * 16 + lane(16)]
            b[v] = v2
          }
          for i in 0..2 unroll {
            let v1 = x1[row + i, k]
            let a = v1
            for v in 0..3 unroll {
              t[i][v] = fma(a, b[v], t[i][v])
            }
          }
        }
        for i in 0..2 unroll {
          for v in 0..3 unroll {
            y3[row + i, jp * 48 + v * 16 + lane(16)] = t[i][v]
          }
        }
      }
    } else {
      for it in 0..1 {
        let row = it * 2
        reg t[2][2]: f32x16 = 0.0
        for k in 0..8 {
          reg b[2]: f32x16
          for v in 0..2 unroll {
            b[v] = load(x2[k, jp * 48 + v * 16 + lane(16)], jp * 48 + v * 16 + lane(16) < 72)
          }
          for i in 0..2 unroll {
            let v1 = x1[row + i, k]
            let a = v1
            for v in 0..2 unroll {
              t[i][v] = fma(a, b[v], t[i][v])
            }
          }
        }
        for i in 0..2 unroll {
          for v in 0..2 unroll {
            if jp * 48 + v * 16 + lane(16) < 72 {
              y3[row + i, jp * 48 + v * 16 + lane(16)] = t[i][v]
            }
          }
        }
      }
    }
  }
}

