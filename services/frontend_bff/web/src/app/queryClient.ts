import { QueryClient } from "@tanstack/vue-query";

import { asApiError } from "@/api/problem";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      // Records come by the live stream; lists hold links that die, so they are never taken from yesterday's memory.
      staleTime: 10_000,
      gcTime: 5 * 60_000,
      refetchOnWindowFocus: false,
      // A refusal stays one; only a missing or broken answer is worth a second question.
      retry: (times, error) =>
        times < 2 && (asApiError(error).status === 0 || asApiError(error).status >= 502),
    },
  },
});
