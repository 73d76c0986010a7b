import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { RelayProvider } from "../src/react/index.js";
import { App } from "./app.js";
import { makeDemo } from "./client.js";
import { expose } from "./debug.js";
import "./demo.css";

const root = document.getElementById("root");
if (root === null) throw new Error("the page has no #root");
const demo = makeDemo();
expose(demo);
createRoot(root).render(
  <StrictMode>
    <RelayProvider client={demo.client}>
      <App demo={demo} />
    </RelayProvider>
  </StrictMode>,
);
