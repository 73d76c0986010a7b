import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const relay = process.env.PGRELAY_URL ?? "http://127.0.0.1:7070";

// The demo page. It is served by the relay itself, under the same origin as the WebSocket.
export default defineConfig({
  root: "demo",
  base: "./",
  plugins: [react()],
  // The folder exists for go:embed before the page was built: dist/.gitkeep is committed, public/.gitkeep restores it.
  build: { outDir: "dist", emptyOutDir: true, assetsDir: "assets", target: "es2022", sourcemap: false },
  // `npm run dev` beside a running `pgrelay demo`; the relay lets in pages of its own origin alone.
  server: {
    proxy: {
      "/v1": { target: relay, ws: true, changeOrigin: true, rewriteWsOrigin: true },
      "/demo/rate": relay,
      "/demo/restart": relay,
      "/demo/rows": relay,
    },
  },
});
