// A client of Giftledger's HTTP door. Go, standard library only. Copy it, change the package's name, drop main.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	bulkLines = 10_000
	bulkBytes = 16 << 20
	silence   = 45 * time.Second // a feed says something every 15 s
)

var (
	final = []string{"taken", "refused", "conflict", "malformed"}
	// With these nothing is decided and nothing will be, however often one asks.
	hopeless      = []int{400, 401, 403, 404, 405, 410, 413, 415}
	hopelessCodes = []string{"not_allowed", "token_missing", "token_unknown", "token_expired", "token_replaced", "token_revoked"}
)

// Answer is what became of a command: branch on State and Code. Raw has every field.
type Answer struct {
	ID       string          `json:"id"`
	State    string          `json:"state"`
	Code     string          `json:"code"`
	Detail   string          `json:"detail"`
	Position string          `json:"position"`
	Order    string          `json:"order"`
	Line     int             `json:"line"`
	End      bool            `json:"end"`
	Raw      json.RawMessage `json:"-"`
}

// Denied says that the server will not do it: the token, the address, or the form of the request is wrong.
type Denied struct {
	Status int
	Answer Answer
}

func (d *Denied) Error() string {
	return fmt.Sprintf("%d %s: %s", d.Status, d.Answer.Code, d.Answer.Detail)
}

// later is worth asking again.
type later struct {
	said  string
	pause time.Duration
}

func (l *later) Error() string { return l.said }

// Client asks one server. It may be used by several goroutines. How long it asks for an outcome says the context.
type Client struct {
	URL, Token string
	HTTP       http.Client
}

// Append gives the final answer to one command. The id stays the same, so asking again is safe.
func (c *Client) Append(ctx context.Context, command any) (answer Answer, err error) {
	body, err := json.Marshal(command)
	if err != nil {
		return answer, err
	}
	err = untilDecided(ctx, func() (bool, error) {
		response, err := c.open(ctx, "POST", "/v1/commands", body, "application/json", "")
		if err != nil {
			return false, err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			return false, err
		}
		answer = Answer{Raw: text}
		if err := json.Unmarshal(text, &answer); err != nil {
			return false, err
		}
		if slices.Contains(final, answer.State) {
			return true, nil
		}
		return false, &later{string(text), seconds(response.Header)}
	})
	return answer, err
}

// Bulk gives the final answers to many commands, in their order. What has no outcome yet is sent again; what the token
// does not allow comes back as `undecided`, with its code.
func (c *Client) Bulk(ctx context.Context, commands []json.RawMessage) (answers []Answer, err error) {
	for len(commands) > 0 {
		count, size := 0, 0
		for count < len(commands) && count < bulkLines && (count == 0 || size+len(commands[count]) < bulkBytes) {
			size += len(commands[count]) + 1
			count++
		}
		batch, err := c.batch(ctx, commands[:count])
		answers, commands = append(answers, batch...), commands[count:]
		if err != nil {
			return answers, err
		}
	}
	return answers, nil
}

// Follow calls handle for every event from a cursor on, until the context ends or handle fails. Do what the event asks
// for, THEN store the cursor, and give it as after the next time. An event may come twice: drop what (shard, sequence)
// says you had. Where the event is nil nothing happened; store the cursor all the same.
func (c *Client) Follow(ctx context.Context, after string, filters url.Values, handle func(event json.RawMessage, cursor string) error) error {
	for waits := 1; ; waits++ {
		var ours error
		err := c.followOnce(ctx, after, filters, func(event json.RawMessage, cursor string) error {
			ours = handle(event, cursor)
			after, waits = cursor, 0
			return ours
		})
		var denied *Denied
		if ours != nil || errors.As(err, &denied) {
			return err
		}
		if err := sleep(ctx, max(pause(waits), asked(err))); err != nil {
			return err
		}
	}
}

func untilDecided(ctx context.Context, ask func() (bool, error)) error {
	for tries := 1; ; tries++ {
		decided, err := ask()
		var denied *Denied
		if decided || errors.As(err, &denied) {
			return err
		}
		// No answer, or half of one, or none yet: what became of it is not known.
		wait := asked(err)
		if wait == 0 {
			wait = pause(tries)
		}
		if ended := sleep(ctx, wait); ended != nil {
			return fmt.Errorf("no outcome after %d tries, ask again with the same id: %w", tries, errors.Join(err, ended))
		}
	}
}

func (c *Client) batch(ctx context.Context, commands []json.RawMessage) ([]Answer, error) {
	answers := make([]Answer, len(commands))
	err := untilDecided(ctx, func() (bool, error) {
		var left []int
		var body []byte
		for n, answer := range answers {
			if answer.State == "" {
				left = append(left, n)
				body = append(append(body, commands[n]...), '\n')
			}
		}
		response, err := c.open(ctx, "POST", "/v1/commands/bulk", body, "application/x-ndjson", "")
		if err != nil {
			return false, err
		}
		defer response.Body.Close()
		decided := 0
		lines := bufio.NewScanner(response.Body)
		for lines.Buffer(nil, 4<<20); lines.Scan(); {
			answer := Answer{Raw: bytes.Clone(lines.Bytes())}
			if err := json.Unmarshal(answer.Raw, &answer); err != nil || answer.End {
				break
			}
			if slices.Contains(final, answer.State) || slices.Contains(hopelessCodes, answer.Code) {
				answers[left[answer.Line-1]] = answer
				decided++
			}
		}
		return decided == len(left), lines.Err() // what was not answered is asked for again
	})
	return answers, err
}

func (c *Client) followOnce(ctx context.Context, after string, filters url.Values, handle func(json.RawMessage, string) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(silence, cancel)
	query := url.Values{"after": {after}}
	for name, values := range filters {
		query[name] = values
	}
	response, err := c.open(ctx, "GET", "/v1/events?"+query.Encode(), nil, "", "text/event-stream")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	kind, cursor, data := "", "", []byte(nil)
	lines := bufio.NewScanner(response.Body)
	for lines.Buffer(nil, 4<<20); lines.Scan(); {
		silent.Reset(silence)
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case name == "id":
			cursor = value
		case name == "data":
			data = append(data, value...)
		case name == "event":
			kind = value
		case lines.Text() == "":
			if kind == "end" {
				return nil
			}
			if cursor != "" {
				if err := handle(data, cursor); err != nil {
					return err
				}
			}
			kind, cursor, data = "", "", nil
		}
	}
	return lines.Err()
}

func (c *Client) open(ctx context.Context, method, path string, body []byte, contentType, accept string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"Content-Type": contentType, "Accept": accept} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	response, err := c.HTTP.Do(request)
	if err != nil || response.StatusCode < 300 {
		return response, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	problem := Answer{Detail: string(text)}
	_ = json.Unmarshal(text, &problem) // it may be somebody in between who speaks
	if slices.Contains(final, problem.State) {
		response.Body = io.NopCloser(bytes.NewReader(text))
		return response, nil
	}
	if slices.Contains(hopeless, response.StatusCode) {
		return nil, &Denied{response.StatusCode, problem}
	}
	return nil, &later{problem.Detail, seconds(response.Header)}
}

func seconds(header http.Header) time.Duration {
	n, _ := strconv.Atoi(header.Get("Retry-After"))
	return time.Duration(n) * time.Second
}

// asked is how long the server asks us to wait.
func asked(err error) time.Duration {
	var l *later
	if errors.As(err, &l) {
		return l.pause
	}
	return 0
}

// pause is 0.1 s, then doubled up to 10 s, each between half and all of it, so that many clients do not come at once.
func pause(tries int) time.Duration {
	most := min(10*time.Second, 100*time.Millisecond<<min(max(tries-1, 0), 10))
	return most/2 + time.Duration(rand.Int63n(int64(most/2)))
}

func sleep(ctx context.Context, wait time.Duration) error {
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// go run giftledger.go URL append|bulk < LINES, or URL follow CURSOR_FILE: a command, an answer, an event a line.
func main() {
	client, out := &Client{URL: os.Args[1]}, bufio.NewWriter(os.Stdout)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	fail := func(err error) {
		if err != nil {
			out.Flush()
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 4<<20)
	switch os.Args[2] {
	case "append":
		for input.Scan() {
			answer, err := client.Append(ctx, json.RawMessage(input.Bytes()))
			fail(err)
			fmt.Fprintf(out, "%s\n", answer.Raw)
			out.Flush()
		}
	case "bulk":
		var commands []json.RawMessage
		for input.Scan() {
			commands = append(commands, bytes.Clone(input.Bytes()))
		}
		answers, err := client.Bulk(ctx, commands)
		fail(err)
		for _, answer := range answers {
			fmt.Fprintf(out, "%s\n", answer.Raw)
		}
	case "follow":
		after, file := "start", os.Args[3]
		if stored, err := os.ReadFile(file); err == nil {
			after = string(stored)
		}
		// Seldom enough that the disk keeps up: what came behind the last stored cursor comes again.
		count := 0
		fail(client.Follow(context.Background(), after, nil, func(event json.RawMessage, cursor string) error {
			if event != nil {
				fmt.Fprintf(out, "%s\n", event)
				out.Flush()
				if count++; count%100 != 0 {
					return nil
				}
			}
			if err := os.WriteFile(file+".new", []byte(cursor), 0o600); err != nil {
				return err
			}
			return os.Rename(file+".new", file)
		}))
	}
	out.Flush()
}
