-- wrk: POST signing requests. Arguments: credential, algorithm, tokens a request, and how many issuers
-- (issuer-0, issuer-1, …) are asked at random; without it the one of the URL.
-- Counts answers that are not what a signature looks like.
local failed = 0
local issuers

function init(args)
  local claims = '{"sub":"user-1","aud":"orders","scope":"orders:read orders:write","client_id":"web"}'
  local request = '{"claims":' .. claims .. ',"expires_in":60,"typ":"at+jwt","alg":"' .. args[2] .. '"}'
  local count = tonumber(args[3])
  issuers = tonumber(args[4])
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. args[1]
  if count == 1 then
    wrk.body = request
  else
    local requests = {}
    for index = 1, count do requests[index] = request end
    wrk.body = '{"requests":[' .. table.concat(requests, ",") .. ']}'
  end
end

function request()
  if issuers == nil then return wrk.format() end
  return wrk.format("POST", "/v1/issuers/issuer-" .. math.random(0, issuers - 1) .. "/tokens")
end
