import com.google.gson.Gson;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWK;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.springframework.security.oauth2.client.endpoint.NimbusJwtClientAuthenticationParametersConverter;
import org.springframework.security.oauth2.client.endpoint.OAuth2ClientCredentialsGrantRequest;
import org.springframework.security.oauth2.client.endpoint.OAuth2RefreshTokenGrantRequest;
import org.springframework.security.oauth2.client.endpoint.RestClientClientCredentialsTokenResponseClient;
import org.springframework.security.oauth2.client.endpoint.RestClientRefreshTokenTokenResponseClient;
import org.springframework.security.oauth2.client.registration.ClientRegistration;
import org.springframework.security.oauth2.client.registration.ClientRegistrations;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;
import org.springframework.security.oauth2.core.OAuth2AccessToken;
import org.springframework.security.oauth2.core.OAuth2AuthorizationException;
import org.springframework.security.oauth2.core.OAuth2RefreshToken;
import org.springframework.util.LinkedMultiValueMap;

/**
 * Spring Security's client, configured by discovery alone: a token by each authentication method, and
 * renewing a client's and a public grant. Prints one JSON line.
 */
public final class OauthSpring {
  private static final RestClientRefreshTokenTokenResponseClient RENEWALS =
      new RestClientRefreshTokenTokenResponseClient();

  public static void main(String[] arguments) throws Exception {
    Map<String, String> environment = System.getenv();
    String id = environment.get("CLIENT_ID");
    String secret = environment.get("CLIENT_SECRET");
    Map<String, String> tokens = new TreeMap<>();
    for (ClientAuthenticationMethod method :
        List.of(
            ClientAuthenticationMethod.CLIENT_SECRET_BASIC,
            ClientAuthenticationMethod.CLIENT_SECRET_POST)) {
      tokens.put(method.getValue(), token(credentials(id, secret, method), "https://orders.example"));
    }
    ClientAuthenticationMethod keyed = ClientAuthenticationMethod.PRIVATE_KEY_JWT;
    tokens.put(
        keyed.getValue(),
        token(credentials(environment.get("KEY_CLIENT_ID"), null, keyed), "https://orders.example"));

    String refused = null;
    try {
      ClientAuthenticationMethod basic = ClientAuthenticationMethod.CLIENT_SECRET_BASIC;
      token(credentials(id, secret, basic), "https://elsewhere.example");
    } catch (OAuth2AuthorizationException exception) {
      refused = exception.getError().getErrorCode();
    }

    List<String> renewed = new ArrayList<>();
    List<String> reused = new ArrayList<>();
    ClientAuthenticationMethod basic = ClientAuthenticationMethod.CLIENT_SECRET_BASIC;
    renew(
        registration(id, secret, basic, AuthorizationGrantType.REFRESH_TOKEN),
        environment.get("CLIENT_GRANT"),
        renewed,
        reused);
    ClientAuthenticationMethod none = ClientAuthenticationMethod.NONE;
    renew(
        registration("public", null, none, AuthorizationGrantType.REFRESH_TOKEN),
        environment.get("PUBLIC_GRANT"),
        renewed,
        reused);
    System.out.println(
        new Gson()
            .toJson(
                Map.of("tokens", tokens, "refused", refused, "renewed", renewed, "reused", reused)));
  }

  private static ClientRegistration credentials(
      String id, String secret, ClientAuthenticationMethod method) {
    return registration(id, secret, method, AuthorizationGrantType.CLIENT_CREDENTIALS);
  }

  private static ClientRegistration registration(
      String id, String secret, ClientAuthenticationMethod method, AuthorizationGrantType grant) {
    return ClientRegistrations.fromIssuerLocation(System.getenv("ISSUER"))
        .registrationId("keywright")
        .clientId(id)
        .clientSecret(secret)
        .clientAuthenticationMethod(method)
        .authorizationGrantType(grant)
        .build();
  }

  private static String token(ClientRegistration registration, String audience) {
    RestClientClientCredentialsTokenResponseClient client =
        new RestClientClientCredentialsTokenResponseClient();
    client.addParametersConverter(
        request -> {
          LinkedMultiValueMap<String, String> parameters = new LinkedMultiValueMap<>();
          parameters.add("audience", audience);
          return parameters;
        });
    client.addParametersConverter(
        new NimbusJwtClientAuthenticationParametersConverter<>(OauthSpring::key));
    return client
        .getTokenResponse(new OAuth2ClientCredentialsGrantRequest(registration))
        .getAccessToken()
        .getTokenValue();
  }

  private static JWK key(ClientRegistration registration) {
    try {
      return ECKey.parse(System.getenv("KEY"));
    } catch (java.text.ParseException exception) {
      throw new IllegalArgumentException(exception);
    }
  }

  /** Renews a grant three times, and then with its first token again. */
  private static void renew(
      ClientRegistration registration, String first, List<String> renewed, List<String> reused) {
    OAuth2RefreshToken token = refresh(first);
    OAuth2AccessToken access =
        new OAuth2AccessToken(
            OAuth2AccessToken.TokenType.BEARER, "ended", Instant.EPOCH, Instant.EPOCH.plusSeconds(1));
    for (int round = 0; round < 3; round++) {
      var answer =
          RENEWALS.getTokenResponse(new OAuth2RefreshTokenGrantRequest(registration, access, token));
      access = answer.getAccessToken();
      token = answer.getRefreshToken();
      renewed.add(access.getTokenValue());
    }
    try {
      RENEWALS.getTokenResponse(
          new OAuth2RefreshTokenGrantRequest(registration, access, refresh(first)));
    } catch (OAuth2AuthorizationException exception) {
      reused.add(exception.getError().getErrorCode());
    }
  }

  private static OAuth2RefreshToken refresh(String value) {
    return new OAuth2RefreshToken(value, Instant.now());
  }
}
