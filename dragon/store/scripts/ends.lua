-- How jobs end, and how long they are kept then; the loader puts this text between common.lua and
-- the scripts that need it.
--
-- A job is kept as long as its files. Files of a job's children count to it, too, for its result
-- may lead to them. In its record stand: parent, the job that runs it; storing, how many jobs of
-- its family, itself and those below it, have files in the index; volatile, if the account's
-- lifetime does not concern it; and since, from when on it is kept (ms), if it has been storing.

local DAY_MS, FOR_EVER_DAYS = 86400000, 36525

-- A file in the index, without its account: its size and the time go after it, so that one range
-- finds all below a path, and what there is to know of each.
local function entry(path, size)
  return path .. '\0' .. string.format('%.0f %.0f', size, now_us)
end

-- Adds a job's files to the index of its account. Returns whether it has any in stores of ours.
local function add_files(account, files)
  local added, is_any = {}, false
  for _, file in ipairs(cjson.decode(files)) do
    local path = string.sub(file.path, #account + 2)
    if file.store ~= 'signed' and not added[path] then
      added[path], is_any = true, true
      put('stored:' .. account, 0, entry(path, file.size))
      count('usage', account, file.size)
    end
  end
  return is_any
end

-- Takes a file out of the index. Returns its size, or nil if it was not there.
local function remove_file(account, path)
  local index = base .. 'stored:' .. account
  local found = redis.call('ZRANGEBYLEX', index, '[' .. path .. '\0', '(' .. path .. '\1')[1]
  if not found then return nil end
  redis.call('ZREM', index, found)
  local size = tonumber(string.match(string.sub(found, #path + 2), '^%d+'))
  count('usage', account, -size)
  return size
end

-- A job got files, or lost its last ones: it and those that ran it are to be kept accordingly.
local function count_storing(key, by)
  while key and exists(key) do
    redis.call('HINCRBY', base .. 'job:' .. key, 'storing', by)
    key = redis.call('HGET', base .. 'job:' .. key, 'parent')
  end
end

local function kept_ms(account, storing, volatile, retention)
  if (tonumber(storing) or 0) == 0 or volatile then return retention end
  local days = tonumber(redis.call('HGET', base .. 'lifetime', account))
  if not days then return retention end
  return (days > 0 and days or FOR_EVER_DAYS) * DAY_MS
end

-- Sets anew how long an ended job, and those that ran it, are kept.
local function reckon(key)
  while key do
    local name = base .. 'job:' .. key
    local is = redis.call('HMGET', name, 'parent', 'since', 'account', 'storing', 'volatile',
      'retention')
    if is[2] then
      redis.call('HSET', name, 'expires', expire(key, is[2] - now + kept_ms(unpack(is, 3, 6))))
    end
    key = is[1]
  end
end

-- Keeps a job that ended now with its whole family, each as long as it must.
local function keep(key, retention)
  local name = base .. 'job:' .. key
  local is = redis.call('HMGET', name, 'kind', 'account', 'storing', 'volatile')
  if not is[1] then return end
  redis.call('HSET', name, 'since', now, 'retention', retention,
    'expires', expire(key, kept_ms(is[2], is[3], is[4], retention)))
  if is[1] ~= 'flow' then return end
  for _, child in ipairs(redis.call('SMEMBERS', base .. 'children:' .. key)) do
    keep(child, retention)
  end
end

-- What `complete` needs to know of a job.
local function read(key)
  return redis.call('HMGET', base .. 'job:' .. key, 'token', 'state', 'account', 'kind', 'task',
    'version', 'retention', 'reuse', 'reuse_ms', 'hook')
end

local cancel

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
  if kind == 'flow' then
    for _, child in ipairs(redis.call('SMEMBERS', base .. 'children:' .. key)) do cancel(child) end
  end
  if kind == 'hook' then relist_hook(key, account, 'queued', state) end
  if is[10] then send_hook(account, cmsgpack.unpack(is[10]), state, line) end
  local is_storing = files ~= '[]' and add_files(account, files)
  if is_storing then count_storing(key, 1) end
  if is_storing or kind == 'flow' then keep(key, is[7]) end
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
