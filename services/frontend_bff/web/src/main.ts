import "./styles/main.css";

import { VueQueryPlugin } from "@tanstack/vue-query";
import { createApp } from "vue";

import App from "./app/App.vue";
import { queryClient } from "./app/queryClient";
import { applyLocale, i18n, preferredLocale } from "./i18n";
import { router } from "./router";
import { endSession } from "./session/session";
import { onSignedOut } from "./api/sessionFetch";

applyLocale(preferredLocale() ?? "en");
onSignedOut(endSession);

createApp(App).use(i18n).use(router).use(VueQueryPlugin, { queryClient }).mount("#app");
