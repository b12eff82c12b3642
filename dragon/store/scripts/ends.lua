-- How jobs end; the loader puts this text between common.lua and the scripts that end jobs.

-- What `complete` needs to know of a job.
local function read(key)
  return redis.call('HMGET', base .. 'job:' .. key, 'token', 'state', 'account', 'kind', 'task',
    'version', 'retention', 'reuse', 'reuse_ms', 'hook')
end

local cancel

-- Children end with their parent, and are kept as long: its result may lead to their files.
local function leave_children(key, retention_ms)
  for _, child in ipairs(redis.call('SMEMBERS', base .. 'children:' .. key)) do
    if not cancel(child) and exists(child) then
      redis.call('HSET', base .. 'job:' .. child, 'expires', expire(child, retention_ms))
    end
  end
  redis.call('DEL', base .. 'children:' .. key)
end

-- Moves a job that waits or runs to its final state and tells whoever waits for it.
local function complete(key, is, state, line, files)
  local account, kind, task, version = is[3], is[4], is[5], is[6] + 1
  redis.call('HSET', base .. 'job:' .. key, 'version', version, 'state', state, 'line', line,
    'files', files, 'expires', expire(key, is[7]))
  if is[2] == 'executing' then
    leave_running(key, kind, account)
  else
    leave_queue(key, kind, account)
  end
  if kind == 'flow' then leave_children(key, is[7]) end
  if kind == 'hook' then settle_hook(key, account, state) end
  if is[10] then send_hook(account, cmsgpack.unpack(is[10]), state, line) end
  count('ended', task .. ' ' .. state, 1)
  if is[8] then
    if state == 'success' and tonumber(is[9]) > 0 then
      redis.call('PEXPIRE', is[8], is[9])
    else
      redis.call('DEL', is[8])
    end
  end
  tell(key, version, state, line)
end

-- Ends a job that its account, or its parent, wants no more. Returns whether it had not ended.
function cancel(key)
  local is = redis.call('HMGET', base .. 'job:' .. key, 'state', 'queued', 'started')
  if is[1] ~= 'queued' and is[1] ~= 'executing' then return false end
  local started = is[1] == 'executing' and '","started":"' .. is[3] or ''
  complete(key, read(key), 'error', '{"status":"error","key":"' .. key .. '","error":"cancelled",'
    .. '"events":{"queued":"' .. is[2] .. started .. '","completed":"' .. iso() .. '"}}', '[]')
  if is[1] == 'executing' then redis.call('PUBLISH', channels .. 'cancelled', key) end
  return true
end
