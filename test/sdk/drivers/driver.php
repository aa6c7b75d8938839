<?php

// The driver of the PHP client: takes steps as JSON lines on stdin and answers each on stdout, as sdk/README.md describes.

declare(strict_types=1);

use CommServer as sdk;

require __DIR__ . '/../../../sdk/CommsClient.php';

// As in an application that makes an exception of every warning, whether an @ stands before it or not.
set_error_handler(fn (int $kind, string $text) => throw new \ErrorException($text));

$text = fn (\Generator $pieces): array => ['text' => implode('', iterator_to_array($pieces, false))];
$rest = fn (array $a): array => array_diff_key($a, array_flip(['id', 'delivery', 'version', 'body', 'list', 'take']));
$take = function (\Generator $items, ?int $n): array {
    $out = [];
    foreach ($items as $item) {
        $out[] = $item;
        if (count($out) === $n) {
            break;
        }
    }
    return ['items' => $out];
};
$done = fn (mixed $nothing): object => (object) ($nothing === null ? [] : ['unexpected' => true]);

$calls = [
    'sendMessages' => function ($c, $a) {
        $messages = isset($a['repeat']) ? array_fill(0, $a['repeat'], $a['body']['messages'][0]) : $a['body']['messages'];
        if (isset($a['unencodable'])) {
            $messages[$a['unencodable']]['metadata'] = ['text' => "\xff"];
        }
        return ['data' => array_map(fn ($i) => array_diff_key($i, ['cause' => 1]), $c->sendMessages($messages))];
    },
    'changeMessage' => fn ($c, $a) => $c->changeMessage($a['id'], $a['body']['action']),
    'getTemplateVersion' => fn ($c, $a) => $c->getTemplateVersion($a['id'], $a['version']),
    'rollbackTemplate' => fn ($c, $a) => $c->rollbackTemplate($a['id'], $a['body']['version']),
    'previewTemplate' => fn ($c, $a) => $c->previewTemplate($a['id'], $a['body']['variables']),
    'testProviderConfig' => fn ($c, $a) => $c->testProviderConfig($a['id'], $a['body']['to']),
    'removeSuppression' => fn ($c, $a) => $done($c->removeSuppression($a['channel'], $a['address'])),
    'importSuppressions' => fn ($c, $a) => $c->importSuppressions($a['content'], $a['format']),
    'exportSuppressions' => fn ($c, $a) => $text($c->exportSuppressions($a['format'])),
    'getCaptureSource' => fn ($c, $a) => $text($c->getCaptureSource($a['id'])),
    'exportPerson' => fn ($c, $a) => $text($c->exportPerson($a['address'], $a['channel'] ?? null)),
    'listDeliveries' => fn ($c, $a) => $c->listDeliveries($a['id'], $rest($a)),
    'getDelivery' => fn ($c, $a) => $c->getDelivery($a['id'], $a['delivery']),
    'replayDelivery' => fn ($c, $a) => $c->replayDelivery($a['id'], $a['delivery']),
    'walk' => fn ($c, $a) => $take($a['list'] === 'deliveries' ? $c->deliveries($a['id'], $rest($a)) : $c->{$a['list']}($rest($a)), $a['take'] ?? null),
    'feed' => function ($c, $a) {
        $pages = iterator_to_array($c->feed($a['after'] ?? null), false);
        return ['items' => array_merge(...array_column($pages, 'data')), 'nextCursor' => end($pages)['nextCursor']];
    },
    'streamEvents' => fn ($c, $a) => $take($c->streamEvents($a['after'] ?? null), $a['take']),
    'waitForDelivery' => fn ($c, $a) => $c->waitForDelivery($a['id'], $a['until'] ?? 'DELIVERED', ($a['timeoutMs'] ?? 60000) / 1000),
    'verifyWebhook' => fn ($c, $a) => sdk\CommsClient::verifyWebhook($a['body'], $a['headers'], $a['secrets'], (float) ($a['toleranceSeconds'] ?? 300), isset($a['now']) ? $a['now'] / 1000 : null),
];
foreach (['sendMessage', 'sendEmail', 'sendSms', 'previewMessage', 'changeApp', 'createTemplate', 'createProviderConfig', 'addSuppression', 'erasePerson', 'createWebhook', 'provisionApp'] as $name) {
    $calls[$name] = fn ($c, $a) => $c->$name($a['body']);
}
foreach (['listMessages', 'listCaptures', 'waitForCapture', 'getStats', 'listTemplates', 'listSuppressions', 'listEvents'] as $name) {
    $calls[$name] = fn ($c, $a) => $c->$name($a);
}
foreach (['getApp', 'listProviderConfigs', 'listWebhooks'] as $name) {
    $calls[$name] = fn ($c, $a) => $c->$name();
}
foreach (['getMessage', 'getCapture', 'getTemplate', 'listTemplateVersions', 'getProviderConfig', 'verifyProviderConfig', 'getErasure', 'getWebhook', 'testWebhook'] as $name) {
    $calls[$name] = fn ($c, $a) => $c->$name($a['id']);
}
foreach (['deleteTemplate', 'deleteProviderConfig', 'deleteWebhook'] as $name) {
    $calls[$name] = fn ($c, $a) => $done($c->$name($a['id']));
}
foreach (['changeTemplate', 'changeProviderConfig', 'rotateProviderCallback', 'changeWebhook', 'rotateWebhookSecret', 'replayDeliveries'] as $name) {
    $calls[$name] = fn ($c, $a) => $c->$name($a['id'], $a['body']);
}

$kinds = [sdk\CommsApiException::class => 'api', sdk\CommsConnectionException::class => 'connection', sdk\CommsTimeoutException::class => 'timeout', sdk\CommsAnswerException::class => 'answer',
    sdk\CommsWebhookException::class => 'webhook', sdk\CommsWaitException::class => 'wait', \InvalidArgumentException::class => 'usage'];

$answer = function (array $step) use ($calls, $kinds): array {
    if ($step['call'] === 'hello') {
        return ['result' => ['language' => 'php', 'calls' => array_keys($calls)]];
    }
    try {
        $given = $step['client'] ?? [];
        $timeout = ($given['timeoutMs'] ?? 15000) / 1000;
        $client = match (true) {
            $step['call'] === 'verifyWebhook' => null,
            isset($given['provisioningKey']) => new sdk\CommsProvisioningClient($given['baseUrl'], $given['provisioningKey'], $timeout),
            default => new sdk\CommsClient($given['baseUrl'], $given['appId'], $given['apiKey'], $timeout, $given['retries'] ?? 3, ($given['maxRetryAfterMs'] ?? 10000) / 1000),
        };
        return ['result' => $calls[$step['call']]($client, $step['args'] ?? [])];
    } catch (\Throwable $error) { // whatever it is, the suite is told
        $told = ['kind' => $kinds[$error::class] ?? 'unexpected', 'message' => $error->getMessage()];
        if ($error instanceof sdk\CommsException) {
            $told += ['code' => $error->errorCode, 'idempotencyKey' => $error->idempotencyKey, 'idempotencyKeys' => $error->idempotencyKeys, 'tries' => $error->tries];
        }
        if ($error instanceof sdk\CommsApiException) {
            $told += ['status' => $error->status, 'details' => $error->details, 'fields' => $error->fields, 'requestId' => $error->requestId,
                'retryAfterMs' => $error->retryAfter === null ? null : (int) round($error->retryAfter * 1000)];
        }
        if ($error instanceof sdk\CommsWaitException) {
            $told['lastStatus'] = $error->lastMessage['status'];
        }
        return ['error' => $told];
    }
};

while (($line = fgets(STDIN)) !== false) {
    $step = json_decode($line, true, 512, JSON_THROW_ON_ERROR);
    echo json_encode(['id' => $step['id']] + $answer($step), JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE), "\n";
}
