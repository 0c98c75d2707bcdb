import { createContext, useContext } from "react";
import { History } from "./history.ts";

export const HistoryContext = createContext(new History());

export function useHistory(): History {
  return useContext(HistoryContext);
}
