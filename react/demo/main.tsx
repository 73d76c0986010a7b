import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { RelayProvider } from "../src/react/index.js";

const root = document.getElementById("root");
if (root !== null) {
  createRoot(root).render(
    <StrictMode>
      <RelayProvider>pgrelay</RelayProvider>
    </StrictMode>,
  );
}
