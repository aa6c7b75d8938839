import { CommsClient } from "@/lib/comms-client";
export const comms = new CommsClient({
baseUrl: process.env.COMMS_URL!,
appId: process.env.COMMS_APP_ID!,
apiKey: process.env.COMMS_API_KEY!,
});
