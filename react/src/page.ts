/** What the page tells about its network and its own life. */
export interface PageEvents {
  /** The page is looked at again, or the network is back: timers may have slept, the socket may be dead. */
  wake(): void;
  /** The network is said to be gone. */
  doubt(): void;
}

/** Listens to the page, where there is one; returns what ends it. */
export function watchPage(events: PageEvents): () => void {
  if (typeof window === "undefined" || typeof document === "undefined") return () => {};
  const visible = () => {
    if (document.visibilityState === "visible") events.wake();
  };
  const wake = () => events.wake();
  const doubt = () => events.doubt();
  window.addEventListener("online", wake);
  window.addEventListener("offline", doubt);
  window.addEventListener("pageshow", wake);
  document.addEventListener("resume", wake);
  document.addEventListener("visibilitychange", visible);
  return () => {
    window.removeEventListener("online", wake);
    window.removeEventListener("offline", doubt);
    window.removeEventListener("pageshow", wake);
    document.removeEventListener("resume", wake);
    document.removeEventListener("visibilitychange", visible);
  };
}

/** The WebSocket's address: relative ones are the page's own, http is ws. */
export function socketURL(url: string): string {
  const base = typeof location === "undefined" ? undefined : location.href;
  const resolved = new URL(url, base);
  if (resolved.protocol === "http:") resolved.protocol = "ws:";
  if (resolved.protocol === "https:") resolved.protocol = "wss:";
  return resolved.href;
}

/** Milliseconds after which a frame counts as missed, in a tab that paints none. */
const UNPAINTED = 100;

/**
 * Runs `flush` before the next paint, so that all that came since the last one is one render.
 * A hidden tab paints nothing: there a timer does it.
 */
export function beforePaint(flush: () => void): void {
  if (typeof requestAnimationFrame === "undefined") {
    setTimeout(flush, 0);
    return;
  }
  let done = false;
  const once = () => {
    if (done) return;
    done = true;
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    flush();
  };
  const frame = requestAnimationFrame(once);
  const timer = setTimeout(once, UNPAINTED);
}
