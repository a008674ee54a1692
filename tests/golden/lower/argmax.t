# The place of the first greatest element of a row.
entry f(x: f32[B, 10]) -> i64[B] { argmax(x, -1) }
---
kernel f_0_row(B in 1..=2147483647; in x1: f32[B, 10], out y2: i64[B]) {
  stage main(i0 < B) {
    reg best: f32 = -inf
    reg best_at: i64 = 0
    for j in 0..10 {
      let v1 = x1[i0, j]
      let win = v1 > best || is_nan(v1) && !is_nan(best)
      best_at = select(win, i64(j), best_at)
      best = select(win, v1, best)
    }
    let arg = best_at
    y2[i0] = arg
  }
}

