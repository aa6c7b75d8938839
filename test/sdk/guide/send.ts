const result = await comms.sendEmail({
to: user.email,
subject: "Request approved",
body: "<p>Your request REQ-0042 was approved.</p>",
idempotencyKey: request.id + "-approved-email",
metadata: { requestId: request.id },
});
// result: { id: "cmr...", status: "QUEUED" }
