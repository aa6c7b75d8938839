<?php

/**
 * CommServer's client for PHP: one file without dependencies, for PHP 8.1 and later. Copy it into your application.
 *
 *     $comms = new CommServer\CommsClient(getenv('COMMS_URL'), getenv('COMMS_APP_ID'), getenv('COMMS_API_KEY'));
 *     $sent = $comms->sendEmail(['to' => $user->email, 'subject' => 'Request approved', 'body' => '<p>…</p>', 'idempotencyKey' => $request->id . '-approved-email']);
 *
 * Messages, changes and queries are arrays with the members of the contract; answers are arrays as the API gives them. Times are in seconds.
 * Keep the keys on servers: whoever has one can send as your application.
 *
 * What is repeated by itself: reading, sending (under an idempotency key, which is made when you give none) and the few changes that a repeat
 * cannot change any further. Everything else is asked once. docs/sdk.md has the whole list.
 *
 * Copyright the CommServer authors. SPDX-License-Identifier: Apache-2.0
 */

declare(strict_types=1);

namespace CommServer;

/** Every error of this client but those for wrong use (\InvalidArgumentException). */
class CommsException extends \RuntimeException
{
    /** Of a send: the key that was used, given or made. Sending again under it cannot send twice. */
    public ?string $idempotencyKey = null;
    /** @var ?list<string> of sendMessages: those keys, one for each message in order */
    public ?array $idempotencyKeys = null;
    /** How often the call was made. */
    public int $tries = 1;

    /** @param string $errorCode stable; the server's, as docs/errors.md lists them, or one of this client */
    public function __construct(public readonly string $errorCode, string $message, ?\Throwable $previous = null)
    {
        parent::__construct($message, 0, $previous);
    }
}

/** A refusal by the server. errorCode is '' when the answer was not one of CommServer's. */
class CommsApiException extends CommsException
{
    /** @var array<string, string> path of each wrong field and why */
    public readonly array $fields;

    /** @param float|null $retryAfter seconds that the server asks to stay away; null if it does not say */
    public function __construct(public readonly int $status, string $message, public readonly array $details, public readonly ?string $requestId, public readonly ?float $retryAfter)
    {
        parent::__construct(is_string($details['code'] ?? null) ? $details['code'] : '', $message);
        $this->fields = is_array($details['fields'] ?? null) ? $details['fields'] : [];
    }
}

/** No answer came: whether the server has done what it was asked is not known. */
class CommsConnectionException extends CommsException
{
}

/** No whole answer came in time; see CommsConnectionException. */
class CommsTimeoutException extends CommsException
{
}

/** The answer of a success cannot be read. */
class CommsAnswerException extends CommsException
{
}

/** A webhook that nobody who knows the secret has signed lately. Answer it with 4xx. */
class CommsWebhookException extends CommsException
{
}

/** The time of waitForDelivery is up; lastMessage is the message as it was read last. */
class CommsWaitException extends CommsException
{
    public function __construct(string $message, public readonly array $lastMessage)
    {
        parent::__construct('wait_timeout', $message);
    }
}

/** Calls one server for one app. It holds no connection and no state. */
final class CommsClient
{
    private const TRIAL = 40.0; // seconds: longer than the server gives a provider that is tried out
    private const BATCH_MOST = 1000;
    private const BATCH_BYTES = 15 << 20; // below the server's limit of 16 MiB

    private readonly Caller $http;

    /**
     * @param float $timeout of one try, its answer included
     * @param int $retries further tries of what may be repeated
     * @param float $maxRetryAfter the longest Retry-After that is waited for
     */
    public function __construct(string $baseUrl, string $appId, string $apiKey, private readonly float $timeout = 15.0, int $retries = 3, float $maxRetryAfter = 10.0)
    {
        $this->http = new Caller($baseUrl, ['X-App-ID' => Caller::credential('appId', $appId), 'X-API-Key' => Caller::credential('apiKey', $apiKey)], $timeout, $retries, $maxRetryAfter);
    }

    /** Queues an email. It answers when the server has stored it durably. */
    public function sendEmail(array $message): array
    {
        return $this->sendMessage(['channel' => 'EMAIL'] + $message);
    }

    /** Queues an SMS. It answers when the server has stored it durably. */
    public function sendSms(array $message): array
    {
        return $this->sendMessage(['channel' => 'SMS'] + $message);
    }

    /**
     * Queues a message. Without an idempotencyKey one is made: repeats within this call are then safe, a second call is a second message.
     * The answer has the idempotencyKey that was used.
     */
    public function sendMessage(array $message): array
    {
        $keyed = self::withKey($message);
        try {
            $answer = $this->http->json('POST', '/api/v1/messages', body: $keyed, repeat: true);
            if (!isset($answer['id'])) {
                throw new CommsAnswerException('unreadable_answer', 'The answer of POST /api/v1/messages names no message; is this a CommServer?');
            }
            return $answer + ['idempotencyKey' => $keyed['idempotencyKey']];
        } catch (CommsException $error) {
            $error->idempotencyKey = $keyed['idempotencyKey'];
            throw $error;
        }
    }

    /**
     * Queues any number of messages, in requests of up to 1000 that follow one another, and answers for each in order: with id and status, or
     * error and details. It throws when the first request fails, with the idempotencyKeys; when a later one does, its messages and those behind it come as refused, with cause.
     * What cannot be written as JSON is an \InvalidArgumentException before anything is sent.
     *
     * @param list<array> $messages
     * @return list<array>
     */
    public function sendMessages(array $messages): array
    {
        $keyed = array_map(self::withKey(...), array_values($messages));
        $out = [];
        // All are written before the first is sent: an error in the middle would take the keys of what was accepted along.
        foreach (iterator_to_array(self::parts($keyed), false) as [$from, $to, $body]) {
            try {
                $data = $this->http->json('POST', '/api/v1/messages/batch', body: $body, repeat: true)['data'] ?? null;
                if (!is_array($data) || !array_is_list($data) || count($data) !== $to - $from || array_filter($data, fn ($item) => !isset($item['id']) && !isset($item['error'])) !== []) {
                    throw new CommsAnswerException('unreadable_answer', 'The answer of POST /api/v1/messages/batch does not have an item for each message.');
                }
            } catch (\Throwable $error) { // also what a signal handler throws: it must not take the keys of what was accepted along
                if ($from === 0) {
                    if ($error instanceof CommsException) {
                        $error->idempotencyKeys = array_column($keyed, 'idempotencyKey');
                    }
                    throw $error;
                }
                $details = ['code' => $error instanceof CommsException ? $error->errorCode : ''] + ($error instanceof CommsApiException ? $error->details : []);
                for ($i = $from; $i < count($keyed); $i++) {
                    $out[] = ['index' => $i, 'error' => $error->getMessage() ?: $error::class, 'details' => $details, 'idempotencyKey' => $keyed[$i]['idempotencyKey'], 'cause' => $error];
                }
                break;
            }
            foreach ($data as $i => $item) {
                $out[] = ['index' => $from + $i, 'idempotencyKey' => $keyed[$from + $i]['idempotencyKey']] + $item;
            }
        }
        return $out;
    }

    /** What a message would become, and on which way; stores and sends nothing. */
    public function previewMessage(array $message): array
    {
        return $this->http->json('POST', '/api/v1/messages/preview', body: $message, repeat: true);
    }

    /** One page of messages, newest first; see messages. */
    public function listMessages(array $query = []): array
    {
        return $this->get('/api/v1/messages', $query);
    }

    /** Walks through messages, newest first, page by page; limit is the size of a page. */
    public function messages(array $query = []): \Generator
    {
        return self::walk($this->listMessages(...), $query);
    }

    public function getMessage(string $id): array
    {
        return $this->get('/api/v1/messages/' . Caller::part($id));
    }

    /** CANCEL or RETRY. CANCEL is repeated when its answer was lost, RETRY is not. */
    public function changeMessage(string $id, string $action): array
    {
        return $this->http->json('PATCH', '/api/v1/messages/' . Caller::part($id), body: ['action' => $action], repeat: $action === 'CANCEL');
    }

    /** Cancels a queued message. That it was cancelled before is no error. */
    public function cancelMessage(string $id): array
    {
        return $this->changeMessage($id, 'CANCEL');
    }

    /** Queues a failed or cancelled message again. */
    public function retryMessage(string $id): array
    {
        return $this->changeMessage($id, 'RETRY');
    }

    /**
     * Waits until it is known what became of a message, and answers it: delivered, or FAILED, SUPPRESSED or CANCELLED, which is no error.
     * DELIVERED needs a provider that reports; SENT waits until nothing more is tried. CommsWaitException when the time is up.
     */
    public function waitForDelivery(string $id, string $until = 'DELIVERED', float $timeout = 60.0): array
    {
        $over = ['DELIVERED', 'FAILED', 'SUPPRESSED', 'CANCELLED', ...($until === 'SENT' ? ['SENT'] : [])];
        $end = microtime(true) + $timeout;
        for ($pause = 0.25; ; $pause = min($pause * 1.5, 5.0)) {
            $last = $this->getMessage($id);
            $status = $last['status'] ?? '';
            if (in_array($status, $over, true)) {
                return $last;
            }
            $left = $end - microtime(true);
            if ($left <= 0) {
                $hint = $status === 'SENT' ? ', and nobody has reported that it arrived; with until SENT this is enough' : '';
                throw new CommsWaitException("The message is $status after $timeout seconds$hint.", $last);
            }
            Caller::sleep(min($pause, $left));
        }
    }

    public function listCaptures(array $query = []): array
    {
        return $this->get('/api/v1/sandbox/messages', $query);
    }

    /** Walks through what the sandbox took, newest first. */
    public function captures(array $query = []): \Generator
    {
        return self::walk($this->listCaptures(...), $query);
    }

    public function getCapture(string $id): array
    {
        return $this->get('/api/v1/sandbox/messages/' . Caller::part($id));
    }

    /** A captured email as a mail server would have got it (RFC 5322), with its attachments, in pieces. */
    public function getCaptureSource(string $id): \Generator
    {
        return $this->http->pieces('/api/v1/sandbox/messages/' . Caller::part($id) . '/source', []);
    }

    /** Waits until the sandbox takes a message to the address `to`, for end-to-end tests; `timeout` is 50 at most, then the error's code is nothing_captured. */
    public function waitForCapture(array $query): array
    {
        return $this->http->json('GET', '/api/v1/sandbox/messages/wait', query: $query, repeat: true, timeout: max($this->timeout, ($query['timeout'] ?? 30) + 10.0));
    }

    public function getApp(): array
    {
        return $this->get('/api/v1/app');
    }

    /** Changes the app's settings. With a webhookUrl it is asked once only: the answer may hold a secret that is shown once. */
    public function changeApp(array $change): array
    {
        return $this->http->json('PATCH', '/api/v1/app', body: $change, repeat: !array_key_exists('webhookUrl', $change));
    }

    public function getStats(array $query = []): array
    {
        return $this->get('/api/v1/stats', $query);
    }

    public function createTemplate(array $template): array
    {
        return $this->http->json('POST', '/api/v1/templates', body: $template);
    }

    public function listTemplates(array $query = []): array
    {
        return $this->get('/api/v1/templates', $query);
    }

    public function templates(array $query = []): \Generator
    {
        return self::walk($this->listTemplates(...), $query);
    }

    public function getTemplate(string $id): array
    {
        return $this->get('/api/v1/templates/' . Caller::part($id));
    }

    /** Content that differs from what is stored becomes the next version. */
    public function changeTemplate(string $id, array $change): array
    {
        return $this->http->json('PATCH', '/api/v1/templates/' . Caller::part($id), body: $change, repeat: true);
    }

    public function deleteTemplate(string $id): void
    {
        $this->http->json('DELETE', '/api/v1/templates/' . Caller::part($id), empty: true);
    }

    public function listTemplateVersions(string $id): array
    {
        return $this->get('/api/v1/templates/' . Caller::part($id) . '/versions');
    }

    public function getTemplateVersion(string $id, int $version): array
    {
        return $this->get('/api/v1/templates/' . Caller::part($id) . "/versions/$version");
    }

    /** Makes a new version with the content of an old one. */
    public function rollbackTemplate(string $id, int $version): array
    {
        return $this->http->json('POST', '/api/v1/templates/' . Caller::part($id) . '/rollback', body: ['version' => $version]);
    }

    public function previewTemplate(string $id, array $variables = []): array
    {
        return $this->http->json('POST', '/api/v1/templates/' . Caller::part($id) . '/preview', body: ['variables' => (object) $variables], repeat: true);
    }

    public function createProviderConfig(array $config): array
    {
        return $this->http->json('POST', '/api/v1/provider-configs', body: $config);
    }

    public function listProviderConfigs(): array
    {
        return $this->get('/api/v1/provider-configs');
    }

    public function getProviderConfig(string $id): array
    {
        return $this->get('/api/v1/provider-configs/' . Caller::part($id));
    }

    /** Fields of config that are not sent stay as they are, null removes one. */
    public function changeProviderConfig(string $id, array $change): array
    {
        return $this->http->json('PATCH', '/api/v1/provider-configs/' . Caller::part($id), body: $change, repeat: true);
    }

    public function deleteProviderConfig(string $id): void
    {
        $this->http->json('DELETE', '/api/v1/provider-configs/' . Caller::part($id), empty: true);
    }

    public function rotateProviderCallback(string $id, array $rotation = []): array
    {
        return $this->http->json('POST', '/api/v1/provider-configs/' . Caller::part($id) . '/rotate-callback', body: (object) $rotation);
    }

    /** Connects to the provider and logs in; sends nothing. Whether it works is ok of the answer. */
    public function verifyProviderConfig(string $id): array
    {
        return $this->http->json('POST', '/api/v1/provider-configs/' . Caller::part($id) . '/verify', timeout: max($this->timeout, self::TRIAL));
    }

    /** Sends one real message through this configuration, whatever the mode of the app. */
    public function testProviderConfig(string $id, string $to): array
    {
        return $this->http->json('POST', '/api/v1/provider-configs/' . Caller::part($id) . '/test', body: ['to' => $to], timeout: max($this->timeout, self::TRIAL));
    }

    /** Puts an address on the opt-out list. That it is there already changes nothing, and is no error. */
    public function addSuppression(array $suppression): array
    {
        return $this->http->json('POST', '/api/v1/suppressions', body: $suppression, repeat: true);
    }

    public function listSuppressions(array $query = []): array
    {
        return $this->get('/api/v1/suppressions', $query);
    }

    public function suppressions(array $query = []): \Generator
    {
        return self::walk($this->listSuppressions(...), $query);
    }

    public function removeSuppression(string $channel, string $address): void
    {
        $this->http->json('DELETE', '/api/v1/suppressions', query: ['channel' => $channel, 'address' => $address], empty: true);
    }

    /** Adds a list of at most 64 MiB; format is csv or jsonl. Asked once; repeating it is safe. */
    public function importSuppressions(string $content, string $format, float $timeout = 3600.0): array
    {
        return $this->http->json('POST', '/api/v1/suppressions/import', body: $content, type: $format === 'csv' ? 'text/csv' : 'application/x-ndjson', timeout: $timeout);
    }

    /** The whole list, in pieces as they arrive; an error in the middle is one of reading. */
    public function exportSuppressions(string $format = 'csv'): \Generator
    {
        return $this->http->pieces('/api/v1/suppressions/export', ['format' => $format]);
    }

    /** Has everything about a person erased. It goes on by itself: see getErasure. */
    public function erasePerson(array $person): array
    {
        return $this->http->json('POST', '/api/v1/erasures', body: $person);
    }

    public function getErasure(string $id): array
    {
        return $this->get('/api/v1/erasures/' . Caller::part($id));
    }

    /** Everything that is held about a person as JSON lines, in pieces. It is whole if its last line is of the kind "end". */
    public function exportPerson(string $address, ?string $channel = null): \Generator
    {
        return $this->http->pieces('/api/v1/persons/export', ['address' => $address, 'channel' => $channel]);
    }

    /** One page of the app's events, the oldest first; see feed. */
    public function listEvents(array $query = []): array
    {
        return $this->get('/api/v1/events', $query);
    }

    /**
     * Walks through the pages of events behind a cursor, up to the end for now: what it yields last is a page without events. Keep each page's
     * nextCursor when its events are dealt with, and begin there the next time.
     */
    public function feed(?string $after = null): \Generator
    {
        do {
            $page = $this->listEvents(['after' => $after, 'limit' => 100]);
            yield $page;
            $after = $page['nextCursor'];
        } while ($page['data'] !== []);
    }

    /**
     * Yields the app's events behind a cursor as they happen, each once and in one order without gaps, with its cursor. A connection that breaks, or on
     * which nothing is heard for 45 seconds, is opened again behind the last event, after the pause that the server asks for. It throws the first refusal
     * that does not pass by itself.
     */
    public function streamEvents(?string $after = null): \Generator
    {
        return $this->http->events($after);
    }

    public function createWebhook(array $webhook): array
    {
        return $this->http->json('POST', '/api/v1/webhooks', body: $webhook);
    }

    public function listWebhooks(): array
    {
        return $this->get('/api/v1/webhooks');
    }

    public function getWebhook(string $id): array
    {
        return $this->get('/api/v1/webhooks/' . Caller::part($id));
    }

    public function changeWebhook(string $id, array $change): array
    {
        return $this->http->json('PATCH', '/api/v1/webhooks/' . Caller::part($id), body: $change, repeat: true);
    }

    public function deleteWebhook(string $id): void
    {
        $this->http->json('DELETE', '/api/v1/webhooks/' . Caller::part($id), empty: true);
    }

    /** Another secret, shown in this answer alone. */
    public function rotateWebhookSecret(string $id, array $rotation = []): array
    {
        return $this->http->json('POST', '/api/v1/webhooks/' . Caller::part($id) . '/rotate-secret', body: (object) $rotation);
    }

    /** Posts an event webhook.test about a message that does not exist. */
    public function testWebhook(string $id): array
    {
        return $this->http->json('POST', '/api/v1/webhooks/' . Caller::part($id) . '/test');
    }

    /** Posts again what was made within a time, up to 10,000 events; see more of the answer. */
    public function replayDeliveries(string $id, array $range): array
    {
        return $this->http->json('POST', '/api/v1/webhooks/' . Caller::part($id) . '/replay', body: $range);
    }

    public function listDeliveries(string $id, array $query = []): array
    {
        return $this->get('/api/v1/webhooks/' . Caller::part($id) . '/deliveries', $query);
    }

    public function deliveries(string $id, array $query = []): \Generator
    {
        return self::walk(fn (array $q) => $this->listDeliveries($id, $q), $query);
    }

    public function getDelivery(string $id, string $delivery): array
    {
        return $this->get('/api/v1/webhooks/' . Caller::part($id) . '/deliveries/' . Caller::part($delivery));
    }

    public function replayDelivery(string $id, string $delivery): array
    {
        return $this->http->json('POST', '/api/v1/webhooks/' . Caller::part($id) . '/deliveries/' . Caller::part($delivery) . '/replay');
    }

    /**
     * Checks a request that a webhook endpoint got, and answers its event. $body is what was received, byte for byte (php://input); $secrets is the
     * endpoint's, or those that are valid while it is rotated. It is enough that one of X-Comms-Signature and Webhook-Signature fits under one of
     * them. CommsWebhookException when none does, when the timestamp is too far from now, or the body is no event. A webhook may come more than once:
     * eventId is the same then.
     *
     * @param array<string, string> $headers such as getallheaders() answers
     * @param string|list<string> $secrets
     */
    public static function verifyWebhook(string $body, array $headers, string|array $secrets, float $tolerance = 300.0, ?float $now = null): array
    {
        $secrets = (array) $secrets;
        if ($secrets === [] || in_array('', $secrets, true)) {
            throw new \InvalidArgumentException("secrets must be the webhook's secret, or a list of them, none empty");
        }
        $given = array_change_key_case($headers, CASE_LOWER);
        $now ??= microtime(true);
        $recent = fn (string $at): bool => preg_match('/^[0-9]{1,15}$/D', $at) === 1 && abs($now - (float) $at) < $tolerance;
        [$guideAt, $id, $standardAt] = [$given['x-comms-timestamp'] ?? '', $given['webhook-id'] ?? '', $given['webhook-timestamp'] ?? ''];
        $fits = false;
        foreach ($secrets as $secret) {
            $wanted = hash_hmac('sha256', "$guideAt.$body", $secret);
            $fits = (hash_equals($wanted, strtolower($given['x-comms-signature'] ?? '')) && $recent($guideAt)) || $fits;
            $key = str_starts_with($secret, 'whsec_') && preg_match('~^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$~D', substr($secret, 6)) && strlen($secret) > 6 ? base64_decode(substr($secret, 6)) : $secret;
            $wanted = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$standardAt.$body", $key, true));
            foreach (preg_split('/\s+/', $given['webhook-signature'] ?? '') as $signature) {
                $fits = (hash_equals($wanted, $signature) && $id !== '' && $recent($standardAt)) || $fits;
            }
        }
        if (!$fits) {
            throw new CommsWebhookException('webhook_rejected', "The webhook's signature does not fit, or is too old.");
        }
        $event = json_decode($body, true);
        if (!is_array($event) || !str_starts_with(ltrim($body), '{')) {
            throw new CommsWebhookException('webhook_rejected', "The webhook's body is no event.");
        }
        return $event;
    }

    private function get(string $path, array $query = []): array
    {
        return $this->http->json('GET', $path, query: $query, repeat: true);
    }

    private static function withKey(array $message): array
    {
        return ['idempotencyKey' => ($message['idempotencyKey'] ?? '') !== '' ? $message['idempotencyKey'] : 'auto-' . bin2hex(random_bytes(16))] + $message;
    }

    /** Splits messages into bodies that the server takes. One that is too large alone gets a request of its own, which is refused. */
    private static function parts(array $messages): \Generator
    {
        [$from, $size, $items] = [0, 0, []];
        foreach ($messages as $i => $message) {
            $item = Caller::encode($message);
            if ($items !== [] && (count($items) === self::BATCH_MOST || $size + strlen($item) + 1 > self::BATCH_BYTES)) {
                yield [$from, $i, '{"messages":[' . implode(',', $items) . ']}'];
                [$from, $size, $items] = [$i, 0, []];
            }
            $items[] = $item;
            $size += strlen($item) + 1;
        }
        if ($items !== []) {
            yield [$from, count($messages), '{"messages":[' . implode(',', $items) . ']}'];
        }
    }

    private static function walk(callable $read, array $query): \Generator
    {
        for ($cursor = null; ; $cursor = $next) {
            $page = $read(['cursor' => $cursor] + $query);
            foreach ($page['data'] as $item) {
                yield $item;
            }
            $next = $page['nextCursor'] ?? null;
            if ($next === null) {
                return;
            }
            if ($next === $cursor) {
                throw new CommsAnswerException('unreadable_answer', 'A page of the list leads to itself.');
            }
        }
    }
}

/** Makes apps, for deployment automation: with the provisioning key, which is neither the administrator's nor an app's. */
final class CommsProvisioningClient
{
    private readonly Caller $http;

    public function __construct(string $baseUrl, string $provisioningKey, float $timeout = 15.0)
    {
        $this->http = new Caller($baseUrl, ['X-Provisioning-Key' => Caller::credential('provisioningKey', $provisioningKey)], $timeout, 0, 0.0);
    }

    /** Makes an app, or answers the one that is there, with apiKey null. Asked once: an answer that is lost held the key. */
    public function provisionApp(array $app): array
    {
        return $this->http->json('POST', '/api/provision/apps', body: $app);
    }
}

/** @internal Makes requests over a connection of their own, and says what went wrong. */
final class Caller
{
    private const DEAF = 45.0; // the server says something every 15 seconds

    private readonly array $base;

    public function __construct(string $baseUrl, private readonly array $headers, private readonly float $timeout, private readonly int $retries, private readonly float $maxRetryAfter)
    {
        $base = parse_url($baseUrl) ?: [];
        if (!in_array($base['scheme'] ?? '', ['http', 'https'], true) || ($base['host'] ?? '') === '') {
            throw new \InvalidArgumentException('baseUrl must look like http://localhost:3008'); // without the URL, which may hold a password
        }
        if (isset($base['user']) || isset($base['pass'])) {
            throw new \InvalidArgumentException('baseUrl must not hold a user or a password: the key alone says who calls');
        }
        $this->base = $base;
    }

    /** A JSON answer; [] with $empty. A $body that is a text is sent as it is. */
    public function json(string $method, string $path, array $query = [], mixed $body = null, string $type = 'application/json', bool $repeat = false, ?float $timeout = null, bool $empty = false): array
    {
        $data = $body === null || is_string($body) ? $body : self::encode($body);
        for ($tries = 1; ; $tries++) {
            try {
                $end = microtime(true) + ($timeout ?? $this->timeout);
                $answer = $this->open($method, $path, $query, $data === null ? [] : ['Content-Type' => $type], $data, $end);
                $text = '';
                foreach ($answer->body(fn () => $end) as $piece) {
                    $text .= $piece;
                }
                return $empty ? [] : self::decoded($text, "$method $path");
            } catch (CommsException $error) {
                $error->tries = $tries;
                $wait = $repeat && $tries <= $this->retries ? $this->pause($error, $tries) : null;
                if ($wait === null) {
                    throw $error;
                }
                self::sleep($wait);
            }
        }
    }

    /** The body of a success in pieces. It is asked for at once; $timeout is for its beginning. */
    public function pieces(string $path, array $query): \Generator
    {
        $answer = $this->open('GET', $path, $query, [], null, microtime(true) + $this->timeout);
        return $answer->body(fn () => microtime(true) + self::DEAF);
    }

    /** Events of the stream, for as long as they are read. */
    public function events(?string $after): \Generator
    {
        $retry = 3.0;
        for ($failed = 0; ; ) {
            [$heard, $wait] = [false, 0.0];
            try {
                $headers = ['Accept' => 'text/event-stream'] + ($after === null ? [] : ['Last-Event-ID' => $after]);
                $answer = $this->open('GET', '/api/v1/events/stream', [], $headers, null, microtime(true) + $this->timeout);
                if (!preg_match('~^text/event-stream\b~i', $answer->headers['content-type'] ?? '')) {
                    throw new CommsApiException($answer->status, 'The answer of GET /api/v1/events/stream is no stream of events; is this a CommServer?', [], null, null);
                }
                [$rest, $data, $id] = ['', [], null];
                foreach ($answer->body(fn () => microtime(true) + self::DEAF) as $piece) {
                    $heard = true;
                    $rest .= $piece;
                    while (($at = strpos($rest, "\n")) !== false) {
                        $line = rtrim(substr($rest, 0, $at), "\r");
                        $rest = substr($rest, $at + 1);
                        if ($line !== '') {
                            [$name, $value] = explode(':', $line, 2) + [1 => ''];
                            $value = str_starts_with($value, ' ') ? substr($value, 1) : $value;
                            if ($name === 'data') {
                                $data[] = $value;
                            } elseif ($name === 'id' && !str_contains($value, "\0")) {
                                $id = $value;
                            } elseif ($name === 'retry' && preg_match('/^[0-9]{1,9}$/D', $value)) {
                                $retry = (int) $value / 1000;
                            }
                            continue;
                        }
                        $after = $id ?? $after; // only now the event is whole: one that was cut is told again
                        [$whole, $data, $id] = [$data, [], null];
                        if ($whole !== []) {
                            yield ['cursor' => $after] + self::decoded(implode("\n", $whole), 'GET /api/v1/events/stream');
                        }
                    }
                }
            } catch (CommsApiException $error) {
                if (!in_array($error->status, [408, 429, 500, 502, 503, 504], true)) {
                    throw $error;
                }
                $wait = $error->retryAfter ?? 0.0;
            } catch (CommsConnectionException | CommsTimeoutException) {
                // another try may go well
            }
            $failed = $heard ? 0 : $failed + 1;
            $backOff = $failed > 1 ? min($retry * 2 ** min($failed - 1, 10), 30.0) * (1 + self::chance() / 4) : 0.0;
            self::sleep(max($retry, $backOff, $wait));
        }
    }

    /** Sends a request and answers the response of a success, whose body is not read yet. */
    private function open(string $method, string $path, array $query, array $headers, ?string $data, float $end): Answer
    {
        if (str_contains($path, '//') || str_ends_with($path, '/')) {
            throw new \InvalidArgumentException('the identifier is missing');
        }
        $given = array_map(fn ($v) => $v instanceof \DateTimeInterface ? $v->format('Y-m-d\TH:i:s.vP') : $v, array_filter($query, fn ($v) => $v !== null));
        $target = rtrim($this->base['path'] ?? '', '/') . $path . ($given === [] ? '' : '?' . http_build_query($given, '', '&', PHP_QUERY_RFC3986));
        $secure = $this->base['scheme'] === 'https';
        $port = $this->base['port'] ?? ($secure ? 443 : 80);
        $host = $this->base['host'];
        $what = "$method $path";
        $context = stream_context_create(['ssl' => ['peer_name' => trim($host, '[]')]]);
        $left = max(0.001, $end - microtime(true));
        $socket = self::quietly(fn () => stream_socket_client(($secure ? 'ssl' : 'tcp') . "://$host:$port", $number, $text, $left, STREAM_CLIENT_CONNECT, $context));
        if ($socket === false) {
            throw self::lost($what, $end);
        }
        stream_set_blocking($socket, false); // so that no read or write outlasts the time
        $head = "$method $target HTTP/1.1\r\nHost: $host" . (isset($this->base['port']) ? ":$port" : '') . "\r\nConnection: close\r\n";
        foreach ($headers + $this->headers + ['Accept' => 'application/json'] as $name => $value) {
            $head .= "$name: $value\r\n";
        }
        if ($data !== null || $method !== 'GET') {
            $head .= 'Content-Length: ' . strlen($data ?? '') . "\r\n";
        }
        $answer = new Answer($socket, $what);
        $answer->send("$head\r\n" . ($data ?? ''), $end);
        $answer->head($end);
        if ($answer->status >= 200 && $answer->status <= 299) {
            return $answer;
        }
        $text = implode('', iterator_to_array($answer->body(fn () => $end), false));
        $body = json_decode($text, true);
        $requestId = $answer->headers['x-request-id'] ?? null;
        $retryAfter = self::retryAfter($answer->headers['retry-after'] ?? '');
        if (is_array($body) && is_string($body['error'] ?? null) && $body['error'] !== '') {
            throw new CommsApiException($answer->status, $body['error'], is_array($body['details'] ?? null) ? $body['details'] : [], $requestId, $retryAfter);
        }
        throw new CommsApiException($answer->status, "The server answered $what {$answer->status}.", [], $requestId, $retryAfter);
    }

    public static function lost(string $what, float $end): CommsException
    {
        return microtime(true) >= $end
            ? new CommsTimeoutException('timeout', "$what was not answered in time.")
            : new CommsConnectionException('connection_failed', "$what was not answered: the connection failed.");
    }

    /**
     * Makes a call whose failure is seen by what it answers. An application may have made exceptions of warnings, also of those behind an @:
     * thrown from here, one would take the key of a message along that the server may have.
     *
     * @template T
     * @param callable(): T $call
     * @return T
     */
    public static function quietly(callable $call): mixed
    {
        set_error_handler(static fn () => true);
        try {
            return $call();
        } finally {
            restore_error_handler();
        }
    }

    /** From 0 to 1, so that clients that failed together do not come back together. */
    private static function chance(): float
    {
        return mt_rand() / mt_getrandmax();
    }

    /** How long to wait before the call is made again; null: it is not. */
    private function pause(CommsException $error, int $tries): ?float
    {
        if ($error instanceof CommsApiException) {
            if (in_array($error->status, [429, 503], true)) {
                if ($error->retryAfter !== null) {
                    return $error->retryAfter <= $this->maxRetryAfter ? $error->retryAfter : null;
                }
            } elseif (!in_array($error->status, [408, 502, 504], true)) {
                return null;
            }
        }
        $pause = min(0.2 * 2 ** min($tries - 1, 6), 10.0);
        return $pause / 2 + self::chance() * $pause / 2;
    }

    private static function decoded(string $text, string $what): array
    {
        $value = json_decode($text, true, 512, JSON_BIGINT_AS_STRING);
        if (!is_array($value) || !str_starts_with(ltrim($text), '{')) {
            throw new CommsAnswerException('unreadable_answer', "The answer of $what is no JSON object; is this a CommServer?");
        }
        return $value;
    }

    /** JSON of what is sent: times as such are written, and members that the contract has as objects stay so when they are empty. */
    public static function encode(mixed $value): string
    {
        if (is_array($value)) {
            array_walk_recursive($value, function (mixed &$v): void {
                if ($v instanceof \DateTimeInterface) {
                    $v = $v->format('Y-m-d\TH:i:s.vP');
                }
            });
            foreach (['variables', 'metadata', 'headers', 'config'] as $name) {
                if (($value[$name] ?? null) === []) {
                    $value[$name] = (object) [];
                }
            }
        }
        try {
            return json_encode($value === [] ? (object) [] : $value, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_PRESERVE_ZERO_FRACTION);
        } catch (\JsonException $cause) {
            throw new \InvalidArgumentException('the request cannot be written as JSON: ' . $cause->getMessage(), 0, $cause);
        }
    }

    /** An identifier as one part of a path. Without one the path would be that of something else: such a call is not made. */
    public static function part(string $id): string
    {
        $text = trim($id);
        return $text === '.' || $text === '..' ? '' : rawurlencode($text);
    }

    /** A credential as headers take it. The error does not show it. */
    public static function credential(string $name, string $value): string
    {
        $text = trim($value);
        if ($text === '') {
            throw new \InvalidArgumentException("$name is missing");
        }
        if (!preg_match('/^[\x21-\x7e]+$/D', $text)) {
            throw new \InvalidArgumentException("$name holds a character that no header can have");
        }
        return $text;
    }

    private static function retryAfter(string $value): ?float
    {
        $text = trim($value);
        if (preg_match('/^[0-9]{1,9}$/D', $text)) {
            return (float) $text ?: null;
        }
        $at = $text === '' ? false : \DateTimeImmutable::createFromFormat('D, d M Y H:i:s \G\M\T', $text, new \DateTimeZone('UTC'));
        return $at === false ? null : (max(0.0, $at->getTimestamp() - microtime(true)) ?: null);
    }

    public static function sleep(float $seconds): void
    {
        usleep((int) ($seconds * 1_000_000));
    }
}

/** @internal A response as it arrives (RFC 9112). */
final class Answer
{
    public int $status = 0;
    /** @var array<string, string> by names in lower case */
    public array $headers = [];
    private string $rest = '';

    /** @param resource $socket */
    public function __construct(private $socket, private readonly string $what)
    {
    }

    public function __destruct()
    {
        if (is_resource($this->socket)) {
            fclose($this->socket);
        }
    }

    public function send(string $text, float $end): void
    {
        for ($at = 0; $at < strlen($text); $at += $n) {
            $this->ready($end, true);
            $n = Caller::quietly(fn () => fwrite($this->socket, substr($text, $at, 1 << 16)));
            if ($n === false || ($n === 0 && feof($this->socket))) {
                throw Caller::lost($this->what, $end);
            }
        }
    }

    /** Reads the status and the headers; those of 1xx are passed over. */
    public function head(float $end): void
    {
        do {
            while (($at = strpos($this->rest, "\r\n\r\n")) === false) {
                if (!$this->more($end) || strlen($this->rest) > 1 << 20) {
                    throw Caller::lost($this->what, $end);
                }
            }
            $lines = explode("\r\n", substr($this->rest, 0, $at));
            $this->rest = substr($this->rest, $at + 4);
            if (!preg_match('~^HTTP/1\.[01] ([0-9]{3})~', array_shift($lines), $m)) {
                throw new CommsAnswerException('unreadable_answer', "The answer of {$this->what} is no HTTP.");
            }
            $this->status = (int) $m[1];
            $this->headers = [];
            foreach ($lines as $line) {
                [$name, $value] = explode(':', $line, 2) + [1 => ''];
                $this->headers[strtolower($name)] = trim($value);
            }
        } while ($this->status < 200);
    }

    /** The body in pieces; $end says until when the next one must be there. One that is cut off is an error. */
    public function body(callable $end): \Generator
    {
        if ($this->status === 204 || $this->status === 304) {
            return;
        }
        if (stripos($this->headers['transfer-encoding'] ?? '', 'chunked') !== false) {
            yield from $this->chunks($end);
            return;
        }
        $left = isset($this->headers['content-length']) ? (int) $this->headers['content-length'] : null;
        while ($left !== 0) {
            if ($this->rest === '' && !$this->more($end())) {
                if ($left !== null) {
                    throw new CommsConnectionException('connection_failed', "The answer of {$this->what} was cut.");
                }
                return;
            }
            $piece = $left === null ? $this->rest : substr($this->rest, 0, $left);
            $this->rest = substr($this->rest, strlen($piece));
            $left = $left === null ? null : $left - strlen($piece);
            yield $piece;
        }
    }

    private function chunks(callable $end): \Generator
    {
        while (true) {
            while (($at = strpos($this->rest, "\r\n")) === false) {
                $this->need($end());
            }
            $left = (int) hexdec(trim(explode(';', substr($this->rest, 0, $at), 2)[0]));
            $this->rest = substr($this->rest, $at + 2);
            if ($left === 0) {
                return;
            }
            for (; $left > 0; $left -= strlen($piece)) {
                if ($this->rest === '') {
                    $this->need($end());
                }
                $piece = substr($this->rest, 0, $left);
                $this->rest = substr($this->rest, strlen($piece));
                yield $piece;
            }
            while (strlen($this->rest) < 2) {
                $this->need($end());
            }
            $this->rest = substr($this->rest, 2);
        }
    }

    private function need(float $end): void
    {
        if (!$this->more($end)) {
            throw new CommsConnectionException('connection_failed', "The answer of {$this->what} was cut.");
        }
    }

    /** Reads something more; false at the end. */
    private function more(float $end): bool
    {
        while (true) {
            $got = Caller::quietly(fn () => fread($this->socket, 1 << 16));
            if ($got !== false && $got !== '') {
                $this->rest .= $got;
                return true;
            }
            if ($got === false || feof($this->socket)) {
                return false;
            }
            $this->ready($end, false);
        }
    }

    /** Waits until the socket can be read or written. */
    private function ready(float $end, bool $write): void
    {
        $left = $end - microtime(true);
        if ($left <= 0) {
            throw Caller::lost($this->what, $end);
        }
        [$r, $w, $e] = $write ? [[], [$this->socket], []] : [[$this->socket], [], []];
        Caller::quietly(function () use (&$r, &$w, &$e, $left) {
            return stream_select($r, $w, $e, (int) $left, (int) (fmod($left, 1) * 1_000_000));
        });
    }
}
