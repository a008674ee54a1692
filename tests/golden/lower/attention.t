# Block by block of keys: a tile of scores, what is made of them, what they weigh; each row's largest score is carried along.
use nn
entry f(q: f32[T, 8], k: f32[S, 8], v: f32[S, 8]) -> f32[T, 8] { nn.attention(q, k, v, causal = true) }
---
kernel f_0_attention(T in 1..=2147483647, S in 1..=2147483647; inout panels: f32[8, 32 * ((S + 31) // 32)] panel(1, 32) align 64, in x2: f32[S, 8], inout scores: f32[((T + 31) // 32), 8, 64], inout rows: f32[((T + 31) // 32), 3, 32], inout y30: f32[T, 8], in x1: f32[T, 8], in x3: f32[S, 8]) {
  stage pack(n < 32 * ((S + 31) // 32)) {
    for k in 0..8 {
      let v2 = x2[min(n, S - 1), k]
      panels[k, n] = select(n < S, v2, 0.0)
    }
  }
  stage main(task < ((T + 31) // 32)) {
    let lo = task * 32
    let hi = min(T, lo + 32)
    for i in 0..8 {
      rows[task, 2, i] = 0.0
    }
    for i in lo..hi {
      let own = i - lo
      rows[task, 0, own] = -inf
      rows[task, 1, own] = 0.0
      for j in 0..8 vector 16 tail mask {
        y30[i, j] = 0.0
      }
    }
    let seen = max(min(idx(i64(hi - 1) + i64(S + -1 * T)), S - 1) + 1, 0)
    for block in 0..(seen + 63) // 64 {
      let keys = min(64, seen - block * 64)
      for tile in 0..(hi - lo + 7) // 8 {
        let first_row = lo + tile * 8
        let count = min(8, hi - first_row)
        for panel in 0..(keys + 31) // 32 {
          reg t[8][2]: f32x16 = 0.0
          for d in 0..8 {
            reg b[2]: f32x16
            for v in 0..2 unroll {
              b[v] = panels[d, block * 64 + panel * 32 + (v * 16 + lane(16))]
            }
            for i in 0..8 unroll {
              let v1 = x1[min(first_row + i, hi - 1), d]
              let a = v1
              for v in 0..2 unroll {
                t[i][v] = fma(a, b[v], t[i][v])
              }
            }
          }
          for i in 0..8 unroll {
            for v in 0..2 unroll {
              scores[task, i, panel * 32 + (v * 16 + lane(16))] = t[i][v]
            }
          }
        }
        for i in 0..count {
          let row = first_row + i
          let own = row - lo
          reg best: f32x16 = -inf
          for j in 0..keys vector 16 tail mask {
            let dot = scores[task, i, j]
            let v6 = dot * 0.35355338
            let v15 = select(i64(block * 64 + j) <= i64(row) + i64(S + -1 * T), v6, -inf)
            scores[task, i, j] = v15
            best = max(best, v15)
          }
          let old = rows[task, 0, own]
          let now = max(old, hmax(best))
          let shift = select(now == -inf, 0.0, now)
          let decay = exp_neg(old - shift)
          rows[task, 0, own] = now
          rows[task, 2, i] = decay
          reg total: f32x16 = 0.0
          for j in 0..keys vector 16 tail mask {
            let e = exp_neg(scores[task, i, j] - shift)
            scores[task, i, j] = e
            total = total + e
          }
          rows[task, 1, own] = fma(rows[task, 1, own], decay, hadd(total))
        }
        for c in 0..8 {
          let col = c
          reg t[8][1]: f32
          for i in 0..8 unroll {
            for v in 0..1 unroll {
              t[i][v] = y30[min(first_row + i, hi - 1), col + v] * rows[task, 2, i]
            }
          }
          for key in 0..keys {
            reg b[1]: f32
            for v in 0..1 unroll {
              let v3 = x3[block * 64 + key, col + v]
              b[v] = v3
            }
            for i in 0..8 unroll {
              let e = scores[task, i, key]
              for v in 0..1 unroll {
                t[i][v] = fma(e, b[v], t[i][v])
              }
            }
          }
          for i in 0..8 unroll {
            for v in 0..1 unroll {
              if i < count {
                y30[first_row + i, col + v] = t[i][v]
              }
            }
          }
        }
      }
    }
    for i in lo..hi {
      let own = i - lo
      let most = rows[task, 0, own]
      let sum = select(most == -inf, 0.0, rows[task, 1, own])
      let v24 = sum == 0.0
      let v26 = select(v24, 1.0, sum)
      let v27 = 1.0 / v26
      let scale = v27
      for j in 0..8 vector 16 tail mask {
        y30[i, j] = y30[i, j] * scale
      }
    }
  }
}

