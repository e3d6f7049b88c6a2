// Calls keywright through the client that oapi-codegen has generated into the package generated.
// Prints what it got as one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"

	"keywright.test/generated/generated"
)

func main() {
	authorize := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+os.Getenv("KEYWRIGHT_TOKEN"))
		return nil
	}
	client, err := generated.NewClientWithResponses(
		os.Getenv("KEYWRIGHT_URL"), generated.WithRequestEditorFn(authorize))
	check(err)
	ctx := context.Background()

	sign := func(lifetime int64) *generated.SignTokenResponse {
		subject := "user-1"
		claims := generated.Claims{Sub: &subject}
		claims.Set("tenant", "a")
		body := generated.SignRequest{Claims: claims, ExpiresIn: &lifetime}
		response, err := client.SignTokenWithResponse(ctx, "default", body)
		check(err)
		return response
	}
	token := sign(60).JSON201
	keys, err := client.ListKeysWithResponse(ctx, "default")
	check(err)
	var kids []string
	for _, key := range keys.JSON200.Keys {
		kids = append(kids, key.Kid)
	}
	refused := sign(1_000_000).ApplicationproblemJSON400
	created, err := client.CreateClientWithResponse(ctx, generated.ClientRequest{
		Name:  "generated-go",
		Roles: []generated.Role{"issuer"},
	})
	check(err)
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"token":      token.Token,
		"kid":        token.Kid,
		"kids":       kids,
		"status":     refused.Status,
		"code":       refused.Code,
		"maximum":    refused.Maximum,
		"client":     created.JSON201.Id,
		"credential": created.JSON201.Credential,
	}))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
