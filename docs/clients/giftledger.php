<?php
// A client of Giftledger's HTTP door. PHP 8 with the curl extension. Copy it, change it.

declare(strict_types=1);

namespace Giftledger;

const FINAL_STATES = ['taken', 'refused', 'conflict', 'malformed'];
// With these nothing is decided and nothing will be, however often one asks.
const HOPELESS = [400, 401, 403, 404, 405, 410, 413, 415];
const HOPELESS_CODES = ['not_allowed', 'token_missing', 'token_unknown', 'token_expired', 'token_replaced', 'token_revoked'];
const BULK_LINES = 10_000;
const BULK_BYTES = 16 << 20;

/** No outcome in time: ask again later, with the same id. */
final class Undecided extends \RuntimeException
{
}

/** The server will not do it: the token, the address, or the form of the request is wrong. */
final class Denied extends \RuntimeException
{
    public function __construct(public readonly int $status, public readonly array $problem)
    {
        parent::__construct(sprintf('%d %s: %s', $status, $problem['code'] ?? '', $problem['detail'] ?? ''));
    }
}

/** No answer, or half of one, or one that says: later. */
final class Later extends \RuntimeException
{
    public function __construct(string $said, public readonly float $seconds = 0)
    {
        parent::__construct($said);
    }
}

final class Client
{
    public function __construct(
        private readonly string $url,
        private readonly ?string $token = null,
        private readonly float $patience = 300,
        private readonly int $timeout = 60,
    ) {
    }

    /** The final answer to one command: look at its `state`. The id stays the same, so asking again is safe. */
    public function append(array|object $command): object
    {
        $body = encode($command);
        return $this->untilDecided(function () use ($body): ?object {
            $text = '';
            $this->request('/v1/commands', $body, 'application/json', function (string $piece) use (&$text): void {
                $text .= $piece;
            });
            $answer = json_decode($text);
            return in_array($answer->state ?? null, FINAL_STATES, true) ? $answer : throw new Later($text);
        });
    }

    /** The final answers to many commands, in their order. What has no outcome yet is sent again; what the token does not
     * allow comes back as `undecided`, with its code.
     * @return list<object> */
    public function bulk(iterable $commands): array
    {
        [$answers, $batch, $size] = [[], [], 0];
        foreach ($commands as $command) {
            $line = encode($command) . "\n";
            if ($batch !== [] && (count($batch) === BULK_LINES || $size + strlen($line) > BULK_BYTES)) {
                array_push($answers, ...$this->batch($batch));
                [$batch, $size] = [[], 0];
            }
            $batch[] = $line;
            $size += strlen($line);
        }
        return $batch === [] ? $answers : [...$answers, ...$this->batch($batch)];
    }

    /** Calls $handle(?object $event, string $cursor) for every event from a cursor on, until it returns false. Do what
     * the event asks for, THEN store the cursor, and give it as $after the next time. An event may come twice: drop what
     * (shard, sequence) says you had. Where the event is null nothing happened; store the cursor all the same. */
    public function follow(string $after, callable $handle, array $filters = []): void
    {
        $goesOn = true;
        for ($waits = 1; $goesOn; ++$waits) {
            [$data, $cursor, $kind] = ['', null, ''];
            $take = function (string $line) use (&$data, &$cursor, &$kind, &$after, &$waits, &$goesOn, $handle): bool {
                [$name, $value] = [...explode(':', $line, 2), ''];
                $value = str_starts_with($value, ' ') ? substr($value, 1) : $value;
                match ($name) {
                    'id' => $cursor = $value,
                    'data' => $data .= $value,
                    'event' => $kind = $value,
                    default => null,
                };
                if ($line === '') {
                    if ($kind !== 'end' && $cursor !== null) {
                        $goesOn = $handle($data === '' ? null : json_decode($data, flags: JSON_THROW_ON_ERROR), $cursor) !== false;
                        [$after, $waits] = [$cursor, 0];
                    }
                    [$data, $cursor, $kind] = ['', null, ''];
                }
                return $goesOn;
            };
            try {
                $path = '/v1/events?' . http_build_query(['after' => $after] + $filters);
                $this->request($path, null, null, lines($take), ['Accept: text/event-stream']);
            } catch (Later $later) {
                pause($later->seconds); // the connection broke: go on behind the last whole event
            }
            if ($goesOn) {
                pause(wait($waits));
            }
        }
    }

    private function untilDecided(callable $ask): mixed
    {
        $giveUp = microtime(true) + $this->patience;
        for ($tries = 1; ; ++$tries) {
            try {
                return $ask();
            } catch (Later $later) {
                $wait = $later->seconds ?: wait($tries);
                if (microtime(true) + $wait > $giveUp) {
                    throw new Undecided("no outcome after $tries tries: {$later->getMessage()}");
                }
                pause($wait);
            }
        }
    }

    private function batch(array $lines): array
    {
        $answers = [];
        $this->untilDecided(function () use ($lines, &$answers): bool {
            $left = array_values(array_diff(array_keys($lines), array_keys($answers)));
            $take = function (string $line) use ($left, &$answers): bool {
                $answer = json_decode($line);
                if (in_array($answer->state ?? '', FINAL_STATES, true) || in_array($answer->code ?? '', HOPELESS_CODES, true)) {
                    $answers[$left[$answer->line - 1]] = $answer;
                }
                return true;
            };
            $body = implode('', array_map(fn (int $n): string => $lines[$n], $left));
            $this->request('/v1/commands/bulk', $body, 'application/x-ndjson', lines($take));
            return count($answers) === count($lines) ?: throw new Later('some lines have no outcome yet');
        });
        ksort($answers);
        return $answers;
    }

    /** Gives the body to $take as it comes. A final answer that is no 2xx goes there too. */
    private function request(string $path, ?string $body, ?string $type, callable $take, array $headers = []): void
    {
        $curl = curl_init($this->url . $path);
        [$refused, $stopped] = ['', false];
        $headers = [...$headers, 'Expect:', ...($type ? ["Content-Type: $type"] : [])];
        curl_setopt_array($curl, [
            CURLOPT_HTTPHEADER => [...$headers, ...($this->token ? ["Authorization: Bearer $this->token"] : [])],
            CURLOPT_CONNECTTIMEOUT => 10,
            CURLOPT_LOW_SPEED_LIMIT => 1, // nothing comes for that long
            CURLOPT_LOW_SPEED_TIME => $this->timeout,
            CURLOPT_WRITEFUNCTION => function ($curl, string $piece) use ($take, &$refused, &$stopped): int {
                if (curl_getinfo($curl, CURLINFO_RESPONSE_CODE) >= 300) {
                    $refused .= $piece;
                } elseif ($take($piece) === false) {
                    $stopped = true;
                    return 0;
                }
                return strlen($piece);
            },
        ] + ($body === null ? [] : [CURLOPT_POSTFIELDS => $body]));
        $retryAfter = 0.0;
        curl_setopt($curl, CURLOPT_HEADERFUNCTION, function ($curl, string $line) use (&$retryAfter): int {
            if (preg_match('/^retry-after: *(\d+)/i', $line, $found)) {
                $retryAfter = (float) $found[1];
            }
            return strlen($line);
        });
        $whole = curl_exec($curl) !== false;
        $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
        if ($stopped || $whole && $status < 300) {
            return;
        }
        if (!$whole) {
            throw new Later(curl_error($curl));
        }
        $problem = json_decode($refused, true) ?? ['detail' => $refused];
        if (in_array($problem['state'] ?? '', FINAL_STATES, true)) {
            $take($refused);
        } elseif (in_array($status, HOPELESS, true)) {
            throw new Denied($status, $problem);
        } else {
            throw new Later($refused, $retryAfter);
        }
    }
}

function encode(array|object $command): string
{
    return json_encode($command, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);
}

/** Cuts what comes into whole lines. */
function lines(callable $take): callable
{
    $rest = '';
    return function (string $piece) use (&$rest, $take): bool {
        $lines = explode("\n", $rest . $piece);
        $rest = array_pop($lines);
        foreach ($lines as $line) {
            if ($take($line) === false) {
                return false;
            }
        }
        return true;
    };
}

/** 0.1 s, then doubled up to 10 s, each between half and all of it, so that many clients do not come at once. */
function wait(int $tries): float
{
    return min(10, 0.1 * 2 ** min($tries - 1, 10)) * mt_rand(500, 1000) / 1000;
}

function pause(float $seconds): void
{
    usleep((int) ($seconds * 1_000_000));
}

/** php giftledger.php URL append|bulk < LINES, or URL follow CURSOR_FILE: a command, an answer, an event a line. */
function main(string $url, string $what, string $file = ''): void
{
    $client = new Client($url);
    $commands = (function () {
        while (($line = fgets(STDIN)) !== false) {
            yield json_decode($line, flags: JSON_THROW_ON_ERROR);
        }
    })();
    if ($what === 'append') {
        foreach ($commands as $command) {
            echo encode($client->append($command)), "\n";
        }
    } elseif ($what === 'bulk') {
        foreach ($client->bulk($commands) as $answer) {
            echo encode($answer), "\n";
        }
    } elseif ($what === 'follow') {
        // Seldom enough that the disk keeps up: what came behind the last stored cursor comes again.
        $count = 0;
        $client->follow(@file_get_contents($file) ?: 'start', function (?object $event, string $cursor) use ($file, &$count): void {
            if ($event) {
                echo encode($event), "\n";
                if (++$count % 100 !== 0) {
                    return;
                }
            }
            file_put_contents("$file.new", $cursor);
            rename("$file.new", $file);
        });
    }
}

if (realpath($_SERVER['SCRIPT_FILENAME']) === __FILE__) {
    main(...array_slice($argv, 1));
}
