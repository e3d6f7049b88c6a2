// Command oauth gets a token with golang.org/x/oauth2/clientcredentials, configured by the discovery of
// go-oidc, and renews a client's and a public grant. It prints one JSON line.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	ctx := context.Background()
	provider, err := oidc.NewProvider(ctx, os.Getenv("ISSUER"))
	if err != nil {
		log.Fatal(err)
	}
	configure := func(style oauth2.AuthStyle, resource string) *clientcredentials.Config {
		return &clientcredentials.Config{
			ClientID:       os.Getenv("CLIENT_ID"),
			ClientSecret:   os.Getenv("CLIENT_SECRET"),
			TokenURL:       provider.Endpoint().TokenURL,
			Scopes:         []string{"orders:read"},
			EndpointParams: url.Values{"resource": {resource}},
			AuthStyle:      style,
		}
	}
	tokens := map[string]string{}
	for method, style := range map[string]oauth2.AuthStyle{
		"client_secret_basic": oauth2.AuthStyleInHeader,
		"client_secret_post":  oauth2.AuthStyleInParams,
		"detected":            oauth2.AuthStyleAutoDetect,
	} {
		token, err := configure(style, "https://orders.example").Token(ctx)
		if err != nil {
			log.Fatal(err)
		}
		tokens[method] = token.AccessToken
	}
	_, err = configure(oauth2.AuthStyleInHeader, "https://elsewhere.example").Token(ctx)
	var refusal *oauth2.RetrieveError
	if !errors.As(err, &refusal) {
		log.Fatal(err)
	}
	refused := refusal.ErrorCode
	renewed, reused := []string{}, []string{}
	holders := map[string]*oauth2.Config{
		os.Getenv("CLIENT_GRANT"): {ClientID: os.Getenv("CLIENT_ID"), ClientSecret: os.Getenv("CLIENT_SECRET")},
		os.Getenv("PUBLIC_GRANT"): {ClientID: "public"},
	}
	for first, config := range holders {
		config.Endpoint = provider.Endpoint()
		token := &oauth2.Token{RefreshToken: first}
		for round := 0; round < 3; round++ {
			token, err = config.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
			if err != nil {
				log.Fatal(err)
			}
			renewed = append(renewed, token.AccessToken)
		}
		_, err = config.TokenSource(ctx, &oauth2.Token{RefreshToken: first}).Token()
		if !errors.As(err, &refusal) {
			log.Fatal(err)
		}
		reused = append(reused, refusal.ErrorCode)
	}
	line, _ := json.Marshal(map[string]any{
		"tokens": tokens, "refused": refused, "renewed": renewed, "reused": reused,
	})
	fmt.Println(string(line))
}
