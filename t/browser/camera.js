// Draws what a person's camera sees, as the .y4m file that Chromium's fake
// camera plays: a room and somebody nodding in it. Called by
// t/lib/Edge/Browser.pm: node camera.js FILE HUE (0..359).
'use strict';

const fs = require('fs');

const width = 480, height = 272, frames = 15, fps = 10;

function yuv(hue, saturation, light) {
  const a = saturation * Math.min(light, 1 - light);
  const channel = (n) => {
    const k = (n + hue / 30) % 12;
    return light - a * Math.max(-1, Math.min(k - 3, 9 - k, 1));
  };
  const [r, g, b] = [channel(0), channel(8), channel(4)];
  const y = 0.299 * r + 0.587 * g + 0.114 * b;
  return [16 + 219 * y, 128 + 224 * 0.564 * (b - y),
    128 + 224 * 0.713 * (r - y)];
}

// 1 inside the ellipse, 0 outside, soft at its edge.
function ellipse(x, y, cx, cy, rx, ry) {
  const d = Math.hypot((x - cx) / rx, (y - cy) / ry);
  return d >= 1 ? 0 : Math.min(1, (1 - d) * Math.min(rx, ry) / 1.5);
}

function mix(a, b, t) {
  return t === 0 ? a : a.map((v, i) => v + (b[i] - v) * t);
}

function room(x, y, { wall, dark, lamp }) {
  const c = mix(wall, dark, Math.hypot(x - 150, y - 67) / 420);
  return mix(c, lamp, 0.7 * Math.exp(-Math.hypot(x - 375, y - 52) / 52));
}

function somebody(c, x, y, nod, { shirt, skin, hair }) {
  const cx = width / 2 + nod.x;
  c = mix(c, shirt, ellipse(x, y, cx, 294, 112, 99));
  c = mix(c, skin, ellipse(x, y, cx, 188, 24, 36));
  c = mix(c, hair, ellipse(x, y, cx, 112 + nod.y, 54, 60));
  return mix(c, skin, ellipse(x, y, cx, 129 + nod.y, 43, 52));
}

function frame(n, background, colors) {
  const turn = 2 * Math.PI * n / frames;
  const nod = { x: 7 * Math.sin(turn), y: 4 * Math.sin(2 * turn) };
  const planes = Buffer.alloc(width * height * 3 / 2);
  const [u, v] = [width * height, width * height * 5 / 4];
  for (let i = 0; i < width * height; i++) {
    const x = i % width, y = (i - x) / width;
    const c = somebody(background[i], x, y, nod, colors);
    planes[i] = c[0];
    if (x % 2 === 0 && y % 2 === 0) {
      const at = y / 2 * width / 2 + x / 2;
      planes[u + at] = c[1];
      planes[v + at] = c[2];
    }
  }
  return Buffer.concat([Buffer.from('FRAME\n'), planes]);
}

const [, , file, hue] = process.argv;
const colors = {
  wall: yuv(+hue, 0.30, 0.62), dark: yuv(+hue, 0.35, 0.28),
  lamp: yuv(45, 0.9, 0.85), shirt: yuv((+hue + 170) % 360, 0.45, 0.42),
  skin: yuv(24, 0.5, 0.72), hair: yuv(20, 0.4, 0.16),
};
const background = Array.from({ length: width * height },
  (_, i) => room(i % width, Math.floor(i / width), colors));
fs.writeFileSync(file, Buffer.concat([
  Buffer.from(`YUV4MPEG2 W${width} H${height} F${fps}:1 Ip A1:1 C420jpeg\n`),
  ...Array.from({ length: frames },
    (_, n) => frame(n, background, colors))]));
