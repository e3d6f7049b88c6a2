-- wrk: renews grants. Argument: a file with the refresh token of one grant a line. Each response brings the token
-- of a later request, so that every grant is renewed by one request at a time.
local tokens = {}
local first, last = 1, 0

local function add(token)
  last = last + 1
  tokens[last] = token
end

function init(args)
  for token in io.lines(args[1]) do add(token) end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
end

function request()
  local token = tokens[first]
  tokens[first] = nil
  first = first + 1
  return wrk.format(nil, nil, nil, "grant_type=refresh_token&refresh_token=" .. token)
end

function response(status, headers, body)
  local token = body:match('"refresh_token":"([^"]+)"')
  if token then add(token) end
end
