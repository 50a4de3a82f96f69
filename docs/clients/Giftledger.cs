// A client of Giftledger's HTTP door. .NET 8, nothing else. Copy it, change it. The project's tests do not run this one.

using System.Net;
using System.Net.Http.Headers;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json.Nodes;

namespace Giftledger;

/// <summary>No outcome in time: ask again later, with the same id.</summary>
public sealed class UndecidedException(string message) : Exception(message);

/// <summary>The server will not do it: the token, the address, or the form of the request is wrong.</summary>
public sealed class DeniedException(HttpStatusCode status, string problem) : Exception($"{(int)status} {problem}")
{
    public HttpStatusCode Status { get; } = status;
}

/// <summary>An event of the feed and the cursor behind it. Where the event is null nothing happened.</summary>
public readonly record struct Entry(JsonNode? Event, string Cursor);

public sealed class Client
{
    private static readonly HashSet<string> Final = ["taken", "refused", "conflict", "malformed"];
    // With these nothing is decided and nothing will be, however often one asks.
    private static readonly HashSet<int> Hopeless = [400, 401, 403, 404, 405, 410, 413, 415];
    private static readonly HashSet<string> HopelessCodes =
        ["not_allowed", "token_missing", "token_unknown", "token_expired", "token_replaced", "token_revoked"];
    private const int BulkLines = 10_000, BulkBytes = 16 << 20;
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(45); // a feed says something every 15 s

    private readonly HttpClient http;
    private readonly TimeSpan patience;

    public Client(string url, string? token = null, TimeSpan? patience = null)
    {
        http = new HttpClient { BaseAddress = new Uri(url), Timeout = Timeout.InfiniteTimeSpan };
        if (token is not null) http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        this.patience = patience ?? TimeSpan.FromMinutes(5);
    }

    /// <summary>The final answer to one command: look at its "state". The id stays the same, so asking again is safe.</summary>
    public Task<JsonNode> AppendAsync(JsonNode command, CancellationToken cancel = default) => UntilDecided(async () =>
    {
        using var response = await OpenAsync(Post("/v1/commands", "application/json", command.ToJsonString()), cancel);
        var answer = JsonNode.Parse(await response.Content.ReadAsStringAsync(cancel))!;
        return Final.Contains((string?)answer["state"] ?? "") ? answer : throw new LaterException(answer.ToJsonString(), RetryAfter(response));
    }, cancel);

    /// <summary>The final answers to many commands, in their order. What has no outcome yet is sent again; what the token
    /// does not allow comes back as "undecided", with its code.</summary>
    public async Task<IReadOnlyList<JsonNode>> BulkAsync(IEnumerable<JsonNode> commands, CancellationToken cancel = default)
    {
        var (answers, batch, size) = (new List<JsonNode>(), new List<string>(), 0);
        foreach (var line in commands.Select(command => command.ToJsonString()))
        {
            if (batch.Count > 0 && (batch.Count == BulkLines || size + line.Length > BulkBytes))
            {
                answers.AddRange(await BatchAsync(batch, cancel));
                (batch, size) = ([], 0);
            }
            batch.Add(line);
            size += Encoding.UTF8.GetByteCount(line) + 1;
        }
        if (batch.Count > 0) answers.AddRange(await BatchAsync(batch, cancel));
        return answers;
    }

    /// <summary>Every event from a cursor on, for ever. Do what it asks for, THEN store the cursor, and give it as
    /// <paramref name="after"/> the next time. An event may come twice: drop what (shard, sequence) says you had.</summary>
    public async IAsyncEnumerable<Entry> FollowAsync(string after = "start", [EnumeratorCancellation] CancellationToken cancel = default)
    {
        for (var waits = 1; ; waits++)
        {
            // A yield may not stand in a try that catches: the enumerator is moved by hand.
            await using var entries = FollowOnceAsync(after, cancel).GetAsyncEnumerator(cancel);
            var pause = TimeSpan.Zero;
            while (true)
            {
                try
                {
                    if (!await entries.MoveNextAsync()) break;
                }
                catch (Exception broken) when (!cancel.IsCancellationRequested && broken is not DeniedException)
                {
                    pause = (broken as LaterException)?.Pause ?? TimeSpan.Zero;
                    break;
                }
                (after, waits) = (entries.Current.Cursor, 0);
                yield return entries.Current;
            }
            await Task.Delay(pause + Pause(waits), cancel);
        }
    }

    private async IAsyncEnumerable<Entry> FollowOnceAsync(string after, [EnumeratorCancellation] CancellationToken cancel)
    {
        using var silence = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        silence.CancelAfter(Silence);
        var request = new HttpRequestMessage(HttpMethod.Get, $"/v1/events?after={Uri.EscapeDataString(after)}");
        request.Headers.Accept.ParseAdd("text/event-stream");
        using var response = await OpenAsync(request, silence.Token);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(silence.Token));
        var (kind, data, cursor) = ("", "", (string?)null);
        while (await reader.ReadLineAsync(silence.Token) is { } line)
        {
            silence.CancelAfter(Silence);
            if (line.StartsWith("id: ")) cursor = line[4..];
            else if (line.StartsWith("data: ")) data += line[6..];
            else if (line.StartsWith("event: ")) kind = line[7..];
            else if (line.Length == 0)
            {
                if (kind == "end") yield break;
                if (cursor is not null) yield return new Entry(data.Length > 0 ? JsonNode.Parse(data) : null, cursor);
                (kind, data, cursor) = ("", "", null);
            }
        }
    }

    private async Task<JsonNode[]> BatchAsync(List<string> lines, CancellationToken cancel)
    {
        var answers = new JsonNode?[lines.Count];
        await UntilDecided(async () =>
        {
            var left = Enumerable.Range(0, lines.Count).Where(n => answers[n] is null).ToList();
            var body = string.Concat(left.Select(n => lines[n] + "\n"));
            using var response = await OpenAsync(Post("/v1/commands/bulk", "application/x-ndjson", body), cancel);
            using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(cancel));
            while (await reader.ReadLineAsync(cancel) is { } text)
            {
                var answer = JsonNode.Parse(text)!;
                if (answer["end"] is not null) break;
                if (Final.Contains((string?)answer["state"] ?? "") || HopelessCodes.Contains((string?)answer["code"] ?? ""))
                    answers[left[(int)answer["line"]! - 1]] = answer;
            }
            return answers.Contains(null) ? throw new LaterException("some lines have no outcome yet", null) : answers;
        }, cancel);
        return answers!;
    }

    private async Task<T> UntilDecided<T>(Func<Task<T>> ask, CancellationToken cancel)
    {
        var giveUp = DateTime.UtcNow + patience;
        for (var tries = 1; ; tries++)
        {
            try
            {
                return await ask();
            }
            // No answer, or half of one, or one that says: later. What became of it is not known.
            catch (Exception broken) when (broken is HttpRequestException or IOException or System.Text.Json.JsonException or LaterException)
            {
                var pause = (broken as LaterException)?.Pause ?? Pause(tries);
                if (DateTime.UtcNow + pause > giveUp) throw new UndecidedException($"no outcome after {tries} tries: {broken.Message}");
                await Task.Delay(pause, cancel);
            }
        }
    }

    private static HttpRequestMessage Post(string path, string type, string body) =>
        new(HttpMethod.Post, path) { Content = new StringContent(body, Encoding.UTF8, type) };

    private async Task<HttpResponseMessage> OpenAsync(HttpRequestMessage request, CancellationToken cancel)
    {
        var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel);
        if (response.IsSuccessStatusCode) return response;
        await response.Content.LoadIntoBufferAsync();
        var text = await response.Content.ReadAsStringAsync(cancel);
        if (Final.Any(state => text.Contains($"\"state\":\"{state}\""))) return response;
        using (response)
        {
            throw Hopeless.Contains((int)response.StatusCode)
                ? new DeniedException(response.StatusCode, text)
                : new LaterException(text, RetryAfter(response));
        }
    }

    private static TimeSpan? RetryAfter(HttpResponseMessage response) => response.Headers.RetryAfter?.Delta;

    /// <summary>0.1 s, then doubled up to 10 s, each between half and all of it, so that many do not come at once.</summary>
    private static TimeSpan Pause(int tries) =>
        TimeSpan.FromSeconds(Math.Min(10, 0.1 * Math.Pow(2, Math.Clamp(tries - 1, 0, 10))) * (0.5 + Random.Shared.NextDouble() / 2));

    private sealed class LaterException(string message, TimeSpan? pause) : Exception(message)
    {
        public TimeSpan? Pause { get; } = pause;
    }
}
