import { CommsProvisioningClient } from "@/lib/comms-client";
const provisioning = new CommsProvisioningClient({
baseUrl: process.env.COMMS_URL!,
provisioningKey: process.env.COMMS_PROVISIONING_KEY!,
});
const result = await provisioning.provisionApp({
name: "FlowBase",
slug: "flowbase",
scopes: ["SEND", "READ", "PROVIDERS", "TEMPLATES"],
});
// Persist result.apiKey into your server secret store when it is not null.
