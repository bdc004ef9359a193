import {
  createRouter,
  createWebHistory,
  type RouteLocationNormalized,
  type RouteLocationRaw,
} from "vue-router";

import { i18n } from "@/i18n";
import { currentUser, publicSettings } from "@/session/session";

declare module "vue-router" {
  interface RouteMeta {
    /** Key of the page's title in the texts. */
    title?: string;
    /** Can be seen without a session. */
    open?: boolean;
    /** For administrators; for others there is nothing at this address. */
    admin?: boolean;
  }
}

const LoginPage = () => import("@/pages/login/LoginPage.vue");

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    {
      path: "/login",
      name: "login",
      component: LoginPage,
      meta: { open: true, title: "login.title" },
    },
    {
      path: "/register",
      name: "register",
      component: LoginPage,
      meta: { open: true, title: "register.title" },
    },
    {
      path: "/",
      component: () => import("@/components/shell/AppShell.vue"),
      children: [
        { path: "", redirect: { name: "generate" } },
        {
          path: "dashboard",
          name: "dashboard",
          component: () => import("@/pages/dashboard/DashboardPage.vue"),
          meta: { title: "nav.dashboard" },
        },
        {
          path: "sora",
          component: () => import("@/pages/sora/SoraPage.vue"),
          children: [
            {
              path: "",
              name: "generate",
              component: () => import("@/pages/generate/GeneratePage.vue"),
              meta: { title: "sora.generate" },
            },
            {
              path: "library",
              name: "library",
              component: () => import("@/pages/library/LibraryPage.vue"),
              meta: { title: "sora.library" },
            },
          ],
        },
        {
          path: "admin/storage",
          name: "storage",
          component: () => import("@/pages/storage/StoragePage.vue"),
          meta: { title: "nav.storage", admin: true },
        },
        {
          path: ":pathMatch(.*)*",
          name: "missing",
          component: () => import("@/pages/MissingPage.vue"),
          meta: { title: "missing.title" },
        },
      ],
    },
  ],
  scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? false : { top: 0 }),
});

router.beforeEach(async (to) => {
  if (to.meta.open) return guardOpen(to);
  // Out of reach is not logged out: the shell says so and offers another try.
  const user = await currentUser().catch(() => undefined);
  if (user === null) return loginFor(to);
  return to.meta.admin && user?.role === "user" ? missingFor(to) : true;
});

router.afterEach((to) => {
  const title = to.meta.title ? i18n.global.t(to.meta.title) : "";
  document.title = title ? `${title} · Reelgate` : "Reelgate";
});

/** Where to log in, and come back from. */
export function loginFor(to: RouteLocationNormalized): RouteLocationRaw {
  return { name: "login", query: to.fullPath === "/" ? {} : { next: to.fullPath } };
}

/** The page for addresses that are none, under the address that was asked for. */
function missingFor(to: RouteLocationNormalized): RouteLocationRaw {
  return { name: "missing", params: { pathMatch: to.path.slice(1).split("/") } };
}

async function guardOpen(to: RouteLocationNormalized): Promise<true | RouteLocationRaw> {
  if (to.name !== "register") return true;
  const settings = await publicSettings().catch(() => null);
  return settings?.registration_enabled ? true : { name: "login" };
}
