# Layouts, alignment, masks and registers survive.
kernel k(K in 1..=64; in w: f32[K, 32] panel(1, 16) align 64, in x: f32[K], out y: f32[32]) {
  stage main(jp < 2) {
    reg t[1]: f32x16 = 0.0
    for p in 0..K { t[0] = fma(x[p], w[p, jp * 16 + lane(16)], t[0]) }
    y[jp * 16 + lane(16)] = t[0]
  }
}
---
kernel k(K in 1..=64; in w: f32[K, 32] panel(1, 16) align 64, in x: f32[K], out y: f32[32]) {
  stage main(jp < 2) {
    reg t[1]: f32x16 = 0.0
    for p in 0..K {
      t[0] = fma(x[p], w[p, jp * 16 + lane(16)], t[0])
    }
    y[jp * 16 + lane(16)] = t[0]
  }
}
