"""The driver of the Python client: takes steps as JSON lines on stdin and answers each on stdout, as sdk/README.md describes."""

import itertools
import json
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "sdk"))
import comms_client as sdk  # noqa: E402

OPERATIONS = """sendMessage sendEmail sendSms previewMessage listMessages getMessage changeMessage listCaptures waitForCapture getCapture getApp changeApp getStats createTemplate
listTemplates getTemplate changeTemplate deleteTemplate listTemplateVersions getTemplateVersion rollbackTemplate previewTemplate createProviderConfig listProviderConfigs getProviderConfig
changeProviderConfig deleteProviderConfig rotateProviderCallback verifyProviderConfig testProviderConfig addSuppression listSuppressions removeSuppression importSuppressions erasePerson getErasure
listEvents createWebhook listWebhooks getWebhook changeWebhook deleteWebhook rotateWebhookSecret testWebhook replayDeliveries listDeliveries getDelivery replayDelivery provisionApp""".split()


def snake(name):
    return re.sub("[A-Z]", lambda m: "_" + m.group().lower(), name)


def plain(client, call, args):
    """The method of that name: arguments by their names, and those of the body too."""
    return getattr(client, snake(call))(**{snake(name): value for name, value in args.items() if name != "body"}, **args.get("body", {})) or {}


def send_many(client, args):
    messages = args["body"]["messages"]
    messages = messages[:1] * args["repeat"] if "repeat" in args else messages
    if "unencodable" in args:
        messages[args["unencodable"]] = {**messages[args["unencodable"]], "metadata": {"thing": object()}}
    data = client.send_messages(messages)
    return {"data": [{name: value for name, value in item.items() if name != "cause"} for item in data]}


def walk(client, args):
    rest = {snake(name): value for name, value in args.items() if name not in ("list", "take")}
    return {"items": list(itertools.islice(getattr(client, args["list"])(**rest), args.get("take")))}


def feed(client, args):
    pages = list(client.feed(**args))
    return {"items": [event for page in pages for event in page["data"]], "nextCursor": pages[-1]["nextCursor"]}


def stream(client, args):
    events = client.stream_events(args.get("after"))
    try:
        return {"items": list(itertools.islice(events, args["take"]))}
    finally:
        events.close()


def verify(_, args):
    return sdk.verify_webhook(args["body"].encode() if args.get("bytes") else args["body"], args["headers"], args["secrets"], tolerance=args.get("toleranceSeconds", 300), now=args["now"] / 1000 if "now" in args else None)


CALLS = {name: (lambda client, args, name=name: plain(client, name, args)) for name in OPERATIONS}
CALLS.update({
    "sendMessages": send_many, "walk": walk, "feed": feed, "streamEvents": stream, "verifyWebhook": verify,
    "exportSuppressions": lambda client, args: {"text": b"".join(client.export_suppressions(**args)).decode()},
    "getCaptureSource": lambda client, args: {"text": b"".join(client.get_capture_source(args["id"])).decode()},
    "exportPerson": lambda client, args: {"text": b"".join(client.export_person(**args)).decode()},
    "waitForDelivery": lambda client, args: client.wait_for_delivery(args["id"], until=args.get("until", "DELIVERED"), timeout=args.get("timeoutMs", 60000) / 1000),
})

KINDS = [(sdk.CommsApiError, "api"), (sdk.CommsConnectionError, "connection"), (sdk.CommsTimeoutError, "timeout"), (sdk.CommsAnswerError, "answer"),
         (sdk.CommsWebhookError, "webhook"), (sdk.CommsWaitError, "wait"), (ValueError, "usage")]


def told(error):
    out = {"kind": next((kind for of, kind in KINDS if isinstance(error, of)), "unexpected"), "message": str(error)}
    for name, member in (("code", "code"), ("status", "status"), ("details", "details"), ("fields", "fields"), ("request_id", "requestId"), ("idempotency_key", "idempotencyKey"), ("idempotency_keys", "idempotencyKeys"), ("tries", "tries")):
        out[member] = getattr(error, name, None)
    if getattr(error, "retry_after", None) is not None:
        out["retryAfterMs"] = round(error.retry_after * 1000)
    if isinstance(error, sdk.CommsWaitError):
        out["lastStatus"] = error.last_message["status"]
    return out


def answer(step):
    if step["call"] == "hello":
        return {"result": {"language": "python", "calls": list(CALLS)}}
    try:
        given, client = step.get("client", {}), None
        times = {"timeout": given.get("timeoutMs", 15000) / 1000}
        if "provisioningKey" in given:
            client = sdk.CommsProvisioningClient(given["baseUrl"], given["provisioningKey"], **times)
        elif step["call"] != "verifyWebhook":
            client = sdk.CommsClient(given["baseUrl"], given["appId"], given["apiKey"], retries=given.get("retries", 3), max_retry_after=given.get("maxRetryAfterMs", 10000) / 1000, **times)
        return {"result": CALLS[step["call"]](client, step.get("args") or {})}
    except Exception as error:  # whatever it is, the suite is told
        return {"error": told(error)}


for line in sys.stdin:
    step = json.loads(line)
    print(json.dumps({"id": step["id"], **answer(step)}), flush=True)
